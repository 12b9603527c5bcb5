/* SPDX-License-Identifier: MIT */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdbool.h>

/* What the running daemon has to say once nobody waits for its return value.
 *
 * Lines go to standard error, or to syslog(3) after log_to_syslog(). Beyond LOG_BURST lines in
 * LOG_PERIOD_SECONDS further ones are counted and summed up in one line, so that a failing image
 * cannot flood the journal. LOG_CRIT is for what is said once: it is never held back. Any thread.
 */
#define LOG_BURST 20
#define LOG_PERIOD_SECONDS 10

/* The syslog priorities in use: LOG_CRIT, LOG_ERR, LOG_WARNING, LOG_INFO of <syslog.h>. */
void log_message(int priority, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* From here on to syslog, under the name mmapfs. */
void log_to_syslog(void);

#endif
