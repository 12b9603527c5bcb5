#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Runs a program as a hardened service would: what mmapfs does with this little, it can do.

    sandbox.py [--sanitizer] [--mount-program] PROGRAM ARGUMENT...
    sandbox.py --list            the system calls, one a line

No new privileges; as root no capability but CAP_SYS_ADMIN, which mounting takes; and no system call
but those below. Any other ends the program by SIGSYS, so that none fails unseen. Sockets are local,
and no memory is both writable and executable, or becomes executable later.

It is for root: an ordinary user's mounts are made by fusermount3, which is set-user-ID, so it cannot
work without new privileges. The example of a unit in mmapfs(1) allows more than this, never less.
"""
import ctypes
import os
import sys

GROUPS = {
    # Linker, libc, and what sets up a process.
    "start": "access arch_prctl brk execve exit_group fstat getcwd getrandom newfstatat pread64 "
             "prlimit64 set_robust_list set_tid_address rseq",
    # Threads that serve, and the guard around copies.
    "threads": "clone clone3 exit futex gettid rt_sigaction rt_sigprocmask rt_sigreturn "
               "sched_getaffinity sched_yield",
    "memory": "madvise munmap",  # mmap and mprotect: below
    # The images, tables, /dev/fuse, what is in /proc and /sys; no name is ever made or removed.
    "files": "close close_range dup2 dup3 faccessat2 fcntl fstatfs ioctl lseek openat pipe2 "
             "read readlink statfs statx write",
    # What requests come to.
    "requests": "copy_file_range fallocate fdatasync fsync ftruncate msync preadv2 pwrite64 "
                "pwritev2 writev",
    "identity": "geteuid getegid getgid getpid gettimeofday clock_gettime getuid",
    # Mounts, and the lock on a mountpoint.
    "mount": "flock memfd_create mount umount2 syncfs",
    # The background, signals, and the child that detaches the mount.
    "daemon": "chdir clock_nanosleep getdents64 kill nanosleep prctl rt_sigtimedwait setsid "
              "signalfd4 tgkill wait4",
    # Looking for members in an image: the process that does so gives up the rest by itself.
    "layouts": "getppid seccomp",
    # The status socket, syslog, and the service manager; local ones only (socket: below).
    "sockets": "accept4 bind connect getsockopt listen pidfd_open poll recvfrom sendmsg sendto "
               "setsockopt",
}
# What AddressSanitizer takes more. LeakSanitizer looks at its process as a debugger does: not here.
SANITIZER = "getppid open sigaltstack"
# What mount(8) takes more, with which some builds of libfuse note a mount in /run/mount/utab.
MOUNT_PROGRAM = "dup setuid"
LIMITED = "mmap mprotect socket"

PR_CAPBSET_READ, PR_CAPBSET_DROP = 23, 24
CAP_SYS_ADMIN = 21
PROT_WRITE, PROT_EXEC = 2, 4
AF_UNIX = 1


def drop_capabilities():
    libc = ctypes.CDLL(None, use_errno=True)
    capability = 0
    while libc.prctl(PR_CAPBSET_READ, capability, 0, 0, 0) >= 0:
        if capability != CAP_SYS_ADMIN and libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) != 0:
            sys.exit("sandbox.py: cannot drop capabilities")
        capability += 1


def restrict(extra):
    import seccomp

    rules = seccomp.SyscallFilter(seccomp.KILL_PROCESS)
    for call in " ".join(GROUPS.values()).split() + extra.split():
        rules.add_rule(seccomp.ALLOW, call)
    masked = seccomp.MASKED_EQ
    for protection in (0, PROT_WRITE, PROT_EXEC):
        rules.add_rule(seccomp.ALLOW, "mmap",
                       seccomp.Arg(2, masked, PROT_WRITE | PROT_EXEC, protection))
    rules.add_rule(seccomp.ALLOW, "mprotect", seccomp.Arg(2, masked, PROT_EXEC, 0))
    rules.add_rule(seccomp.ALLOW, "socket", seccomp.Arg(0, seccomp.EQ, AF_UNIX))
    rules.load()  # sets no_new_privs, too


def main():
    arguments = sys.argv[1:]
    extra = ""
    if arguments == ["--list"]:
        print(*sorted(set(" ".join([*GROUPS.values(), LIMITED]).split())), sep="\n")
        return
    if arguments[0] == "--sanitizer":
        extra += " " + SANITIZER
        arguments.pop(0)
        os.environ["ASAN_OPTIONS"] = os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0"
    if arguments[0] == "--mount-program":
        extra += " " + MOUNT_PROGRAM
        arguments.pop(0)
    drop_capabilities()
    restrict(extra)
    os.execvp(arguments[0], arguments)


main()
