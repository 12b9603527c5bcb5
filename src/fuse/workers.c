/* SPDX-License-Identifier: MIT */
/* The loop around the request handlers.
 *
 * The kernel gives a request to the thread that has waited longest. So every thread that waits and
 * is not needed costs: its processor is asleep, its stack and descriptor are cold, the request
 * travels. libfuse's loop adds a thread whenever none waits, and keeps it. Here as many run as there
 * are processors (docs/architecture.md has the figures); but those that wait for a disk, or for
 * another request, do not count:
 *
 *               takes a request, nobody else waits for one, and less run than may
 *     parked ------------------------------------------------------------------> running
 *            <------------------------------------------------------------------
 *               is done, and more run than may
 *
 *     running -> stuck     says that it will wait (worker_will_wait), or was found at the same
 *                          request twice by the watch, which is awake while nobody waits for one
 *
 * A request can so be late by two ticks of the watch when all workers are stuck and none has said
 * so; it is never lost: the watch starts one for each that is stuck, up to WORKERS_MAX.
 */
#include "workers.h"

#include "signals.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <time.h>

/* As many clients as can keep waiting for slow images at the same time, and more. */
#define WORKERS_MAX 1024

#define TICK_NS 1000000
#define TICKS_AWAKE 64 /* of the watch, after the last one that had something to look at */

struct worker {
	struct workers *workers;
	struct worker *next; /* of the parked ones */
	pthread_t thread;
	sem_t unparked;
	struct fuse_buf buf;
	/* The watch's tick when its request came, + 1; 0 while it has none. */
	_Atomic uint64_t since;
	atomic_bool stuck; /* written under lock */
	atomic_bool left;
};

struct workers {
	struct fuse_session *session;
	int running_max;
	atomic_int waiting; /* for a request */
	atomic_int running; /* neither parked nor stuck; written under lock */
	_Atomic uint64_t tick;
	atomic_bool awake; /* the watch */
	sem_t wake;
	atomic_int error;

	pthread_mutex_t lock;
	bool ending;           /* guarded by lock, as are the following */
	struct worker *parked; /* last one first */
	int count;
	struct worker all[WORKERS_MAX];
};

static _Thread_local struct worker *self;

static void *serve(void *context);

static int start_new_locked(struct workers *workers)
{
	struct worker *worker = &workers->all[workers->count];
	int result;

	if (workers->count == WORKERS_MAX)
		return -EAGAIN;
	*worker = (struct worker){ .workers = workers };
	sem_init(&worker->unparked, 0, 0);
	result = pthread_create(&worker->thread, NULL, serve, worker);
	if (result != 0) {
		sem_destroy(&worker->unparked);
		return -result;
	}
	workers->count++;
	return 0;
}

/* One more that waits for requests, if more may run. Failures are left to the watch. */
static int add_one_locked(struct workers *workers)
{
	struct worker *worker = workers->parked;
	int result = 0;

	if (workers->ending || atomic_load(&workers->running) >= workers->running_max)
		return 0;
	if (worker) {
		workers->parked = worker->next;
		sem_post(&worker->unparked);
	} else {
		result = start_new_locked(workers);
	}
	if (result == 0)
		atomic_fetch_add(&workers->running, 1);
	return result;
}

static void wake_watch(struct workers *workers)
{
	if (!atomic_exchange(&workers->awake, true))
		sem_post(&workers->wake);
}

/* Nobody waits for the next request. */
static void nobody_waits(struct workers *workers)
{
	if (atomic_load(&workers->running) < workers->running_max) {
		pthread_mutex_lock(&workers->lock);
		add_one_locked(workers);
		pthread_mutex_unlock(&workers->lock);
	}
	if (!atomic_load_explicit(&workers->awake, memory_order_relaxed))
		wake_watch(workers);
}

static void mark_stuck_locked(struct worker *worker)
{
	if (atomic_exchange(&worker->stuck, true))
		return;
	atomic_fetch_sub(&worker->workers->running, 1);
}

void worker_will_wait(void)
{
	struct workers *workers = self ? self->workers : NULL;

	if (!workers || atomic_load_explicit(&self->stuck, memory_order_relaxed))
		return;
	pthread_mutex_lock(&workers->lock);
	mark_stuck_locked(self);
	if (atomic_load(&workers->waiting) == 0)
		add_one_locked(workers);
	pthread_mutex_unlock(&workers->lock);
}

static void park_locked(struct workers *workers, struct worker *worker)
{
	atomic_fetch_sub(&workers->running, 1);
	worker->next = workers->parked;
	workers->parked = worker;
	pthread_mutex_unlock(&workers->lock);
	/* What a large write has touched of it. */
	free(worker->buf.mem);
	worker->buf = (struct fuse_buf){ 0 };
	while (sem_wait(&worker->unparked) < 0)
		;
	pthread_mutex_lock(&workers->lock);
}

/* The request is answered: back among the running ones, or out of their way. */
static void request_done(struct workers *workers, struct worker *worker)
{
	atomic_store(&worker->since, 0);
	if (!atomic_load(&worker->stuck) && atomic_load(&workers->running) <= workers->running_max)
		return;
	pthread_mutex_lock(&workers->lock);
	if (atomic_exchange(&worker->stuck, false))
		atomic_fetch_add(&workers->running, 1);
	if (!workers->ending && atomic_load(&workers->running) > workers->running_max)
		park_locked(workers, worker);
	pthread_mutex_unlock(&workers->lock);
}

static int receive(struct workers *workers, struct worker *worker)
{
	int result;

	atomic_fetch_add(&workers->waiting, 1);
	do
		result = fuse_session_exited(workers->session)
				 ? 0
				 : fuse_session_receive_buf(workers->session, &worker->buf);
	while (result == -EINTR || result == -EAGAIN);
	atomic_store(&worker->since, atomic_load(&workers->tick) + 1);
	if (atomic_fetch_sub(&workers->waiting, 1) == 1 && result > 0)
		nobody_waits(workers);
	return result;
}

static void *serve(void *context)
{
	struct worker *worker = context;
	struct workers *workers = worker->workers;
	int result;

	self = worker;
	while ((result = receive(workers, worker)) > 0) {
		fuse_session_process_buf(workers->session, &worker->buf);
		request_done(workers, worker);
	}
	if (result < 0)
		atomic_store(&workers->error, result);
	/* The connection has ended, or is of no use: for all of them. */
	fuse_session_exit(workers->session);
	free(worker->buf.mem);
	atomic_store(&worker->left, true);
	sem_post(&workers->wake);
	return NULL;
}

/* --- the watch ------------------------------------------------------------------------------ */

/* Those at the same request since the tick before the last have their place taken. */
static void replace_stuck(struct workers *workers)
{
	uint64_t tick = atomic_fetch_add(&workers->tick, 1) + 1;

	pthread_mutex_lock(&workers->lock);
	for (int i = 0; i < workers->count; i++) {
		uint64_t since = atomic_load(&workers->all[i].since);

		if (since != 0 && since + 1 <= tick)
			mark_stuck_locked(&workers->all[i]);
	}
	while (atomic_load(&workers->running) < workers->running_max)
		if (workers->ending || add_one_locked(workers) < 0)
			break;
	pthread_mutex_unlock(&workers->lock);
}

static void watch(struct workers *workers)
{
	const struct timespec tick = { 0, TICK_NS };
	int idle = 0;

	while (!fuse_session_exited(workers->session)) {
		if (!atomic_load(&workers->awake)) {
			(void)sem_wait(&workers->wake);
			continue;
		}
		nanosleep(&tick, NULL);
		idle = atomic_load(&workers->waiting) > 0 ? idle + 1 : 0;
		if (idle == 0) {
			replace_stuck(workers);
		} else if (idle > TICKS_AWAKE) {
			idle = 0;
			atomic_store(&workers->awake, false);
			/* Somebody may have found it awake a moment ago. */
			if (atomic_load(&workers->waiting) == 0)
				wake_watch(workers);
		}
	}
}

/* Everybody out: those who wait for a request are interrupted until they have noticed. */
static void end_all(struct workers *workers)
{
	const struct timespec pause = { 0, 2000000 };
	int count;

	pthread_mutex_lock(&workers->lock);
	workers->ending = true;
	count = workers->count;
	for (; workers->parked; workers->parked = workers->parked->next)
		sem_post(&workers->parked->unparked);
	pthread_mutex_unlock(&workers->lock);
	for (int i = 0; i < count; i++) {
		struct worker *worker = &workers->all[i];

		while (!atomic_load(&worker->left)) {
			if (atomic_load(&worker->since) == 0)
				pthread_kill(worker->thread, SIGNAL_WAKE);
			nanosleep(&pause, NULL);
		}
		pthread_join(worker->thread, NULL);
	}
}

int workers_run(struct workers *workers)
{
	int result;

	pthread_mutex_lock(&workers->lock);
	result = add_one_locked(workers);
	pthread_mutex_unlock(&workers->lock);
	if (result < 0)
		return result;
	watch(workers);
	end_all(workers);
	return atomic_load(&workers->error);
}

static int processors(void)
{
	cpu_set_t set;
	int count = sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : 2;

	return count < 2 ? 2 : count;
}

int workers_new(struct fuse_session *session, struct workers **ret)
{
	struct workers *workers = calloc(1, sizeof(*workers));

	if (!workers)
		return -ENOMEM;
	workers->session = session;
	workers->running_max = processors();
	pthread_mutex_init(&workers->lock, NULL);
	sem_init(&workers->wake, 0, 0);
	*ret = workers;
	return 0;
}

void workers_free(struct workers *workers)
{
	if (!workers)
		return;
	for (int i = 0; i < workers->count; i++)
		sem_destroy(&workers->all[i].unparked);
	sem_destroy(&workers->wake);
	pthread_mutex_destroy(&workers->lock);
	free(workers);
}
