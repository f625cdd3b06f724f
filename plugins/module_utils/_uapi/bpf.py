# SPDX-License-Identifier: GPL-3.0-or-later
"""Numbers of the kernel's user interface, in the order of include/uapi/linux/bpf.h.

A comment names the first kernel release where it is later than 4.9.
"""

from __future__ import annotations

from enum import IntEnum, IntFlag


class Cmd(IntEnum):
    """enum bpf_cmd."""

    MAP_CREATE = 0
    MAP_LOOKUP_ELEM = 1
    MAP_UPDATE_ELEM = 2
    MAP_DELETE_ELEM = 3
    MAP_GET_NEXT_KEY = 4
    PROG_LOAD = 5
    OBJ_PIN = 6
    OBJ_GET = 7
    PROG_ATTACH = 8
    PROG_DETACH = 9
    PROG_TEST_RUN = 10
    PROG_GET_NEXT_ID = 11  # 4.13
    MAP_GET_NEXT_ID = 12  # 4.13
    PROG_GET_FD_BY_ID = 13  # 4.13
    MAP_GET_FD_BY_ID = 14  # 4.13
    OBJ_GET_INFO_BY_FD = 15  # 4.13
    PROG_QUERY = 16  # 4.15
    BTF_GET_FD_BY_ID = 19  # 4.18
    MAP_FREEZE = 22  # 5.2
    MAP_LOOKUP_BATCH = 24  # 5.6
    MAP_LOOKUP_AND_DELETE_BATCH = 25  # 5.6
    MAP_UPDATE_BATCH = 26  # 5.6
    MAP_DELETE_BATCH = 27  # 5.6
    LINK_CREATE = 28  # 5.7
    LINK_UPDATE = 29  # 5.7
    LINK_GET_FD_BY_ID = 30  # 5.8
    LINK_GET_NEXT_ID = 31  # 5.8
    ITER_CREATE = 33  # 5.8
    LINK_DETACH = 34  # 5.9


class MapType(IntEnum):
    """enum bpf_map_type; names in lower case are those of bpftool."""

    HASH = 1
    ARRAY = 2
    PROG_ARRAY = 3
    PERF_EVENT_ARRAY = 4
    PERCPU_HASH = 5
    PERCPU_ARRAY = 6
    STACK_TRACE = 7
    CGROUP_ARRAY = 8
    LRU_HASH = 9
    LRU_PERCPU_HASH = 10
    LPM_TRIE = 11  # 4.11
    ARRAY_OF_MAPS = 12  # 4.12
    HASH_OF_MAPS = 13  # 4.12
    DEVMAP = 14  # 4.14
    SOCKMAP = 15  # 4.14
    CPUMAP = 16  # 4.15
    XSKMAP = 17  # 4.18
    SOCKHASH = 18  # 4.18
    CGROUP_STORAGE = 19  # 4.19
    REUSEPORT_SOCKARRAY = 20  # 4.19
    PERCPU_CGROUP_STORAGE = 21  # 4.20
    QUEUE = 22  # 4.20
    STACK = 23  # 4.20
    SK_STORAGE = 24  # 5.2
    DEVMAP_HASH = 25  # 5.4
    STRUCT_OPS = 26  # 5.6
    RINGBUF = 27  # 5.8
    INODE_STORAGE = 28  # 5.10
    TASK_STORAGE = 29  # 5.11
    BLOOM_FILTER = 30  # 5.16
    USER_RINGBUF = 31  # 6.1
    CGRP_STORAGE = 32  # 6.2
    ARENA = 33  # 6.9


PER_CPU_TYPES = frozenset({MapType.PERCPU_HASH, MapType.PERCPU_ARRAY, MapType.LRU_PERCPU_HASH})
BUCKETED_TYPES = frozenset(
    {MapType.HASH, MapType.LRU_HASH, MapType.PERCPU_HASH, MapType.LRU_PERCPU_HASH}
)
ARRAY_TYPES = frozenset({MapType.ARRAY, MapType.PERCPU_ARRAY})
LRU_TYPES = frozenset({MapType.LRU_HASH, MapType.LRU_PERCPU_HASH})


class MapFlag(IntFlag):
    """Map creation flags (BPF_F_*)."""

    NO_PREALLOC = 1 << 0
    NO_COMMON_LRU = 1 << 1
    NUMA_NODE = 1 << 2
    RDONLY = 1 << 3
    WRONLY = 1 << 4
    ZERO_SEED = 1 << 6  # 5.0
    RDONLY_PROG = 1 << 7  # 5.2
    WRONLY_PROG = 1 << 8  # 5.2
    MMAPABLE = 1 << 10  # 5.5
    INNER_MAP = 1 << 12  # 5.10


class UpdateFlag(IntEnum):
    """Flags of MAP_UPDATE_ELEM."""

    ANY = 0
    NOEXIST = 1
    EXIST = 2


class ProgType(IntEnum):
    """The part of enum bpf_prog_type that a network data plane uses."""

    SOCKET_FILTER = 1
    SCHED_CLS = 3
    SCHED_ACT = 4
    XDP = 6
    CGROUP_SKB = 8
    CGROUP_SOCK = 9
    CGROUP_SOCK_ADDR = 18
    TRACING = 26
    SYSCALL = 31  # 5.14


class AttachType(IntEnum):
    """The part of enum bpf_attach_type that a network data plane uses."""

    CGROUP_INET_INGRESS = 0
    CGROUP_INET_EGRESS = 1
    CGROUP_INET_SOCK_CREATE = 2
    CGROUP_INET4_BIND = 8  # 4.17
    CGROUP_INET6_BIND = 9  # 4.17
    CGROUP_INET4_CONNECT = 10  # 4.17
    CGROUP_INET6_CONNECT = 11  # 4.17
    CGROUP_UDP4_SENDMSG = 14  # 4.18
    CGROUP_UDP6_SENDMSG = 15  # 4.18
    CGROUP_UDP4_RECVMSG = 19  # 5.2
    CGROUP_UDP6_RECVMSG = 20  # 5.2
    TRACE_ITER = 28  # 5.8
    XDP = 37  # 5.9
    TCX_INGRESS = 46  # 6.6
    TCX_EGRESS = 47  # 6.6
    NETKIT_PRIMARY = 54  # 6.7
    NETKIT_PEER = 55  # 6.7


class LinkType(IntEnum):
    """enum bpf_link_type."""

    UNSPEC = 0
    RAW_TRACEPOINT = 1
    TRACING = 2
    CGROUP = 3
    ITER = 4
    NETNS = 5
    XDP = 6
    PERF_EVENT = 7
    KPROBE_MULTI = 8
    STRUCT_OPS = 9
    NETFILTER = 10
    TCX = 11
    UPROBE_MULTI = 12
    NETKIT = 13


OBJ_GET_RDONLY = MapFlag.RDONLY
"""file_flags of OBJ_GET and open_flags of MAP_GET_FD_BY_ID: a descriptor that cannot write."""

CGROUP_ALLOW_MULTI = 1 << 1
"""attach_flags that PROG_QUERY reports for link and multi attachments; 0 is a legacy attachment."""

QUERY_EFFECTIVE = 1
"""query_flags: also programs inherited from parent cgroups."""

NAME_LENGTH = 16
"""BPF_OBJ_NAME_LEN, the trailing NUL included."""

BPFFS_MAGIC = 0xCAFE4A11
CGROUP2_MAGIC = 0x63677270
