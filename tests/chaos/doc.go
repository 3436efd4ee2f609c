// Package chaos is what a mesh of real processes does while its network and its machines fail.
//
// # A world
//
// Each story runs in a world of its own: the test starts itself again under unshare(1), in namespaces of users, mounts,
// processes and networks that nobody else has, and needs no rights for it. In there are hosts, each a network namespace with
// an address at one bridge; nodes, each the real binary on its host with a folder, a list of members and secrets; and
// modules, each this test's binary once more, with the SDKs. Faults are made by the kernel (nft, tc, ip) and by signals, so
// what fails is what fails outside: packets vanish, and nobody is told. When the first process of a world ends, the kernel
// ends all others and takes the namespaces away.
//
// # The ledgers
//
// Every module has a ledger, to which it appends one line with one write: a caller before it calls and after it was told
// how the call ended, a handler before it begins and after it is done. The lines have the machine's monotonic time, which all
// processes share. At the end of a story the ledgers are compared (verdict): what callers were told must be true. How often
// something happened is exact; how long it took may be slack times longer than on a quiet machine. A story whose fault fewer
// than 100 calls overlapped has shown nothing, and fails.
//
// # Failure
//
// Where a machine gives no namespaces, or nft, ip or tc are missing, the tests say what, and fail; -short leaves them out. The
// same splits are told by tests/cluster with a network of its own between nodes of one process, over memory and TCP, on every
// machine and every system; what is here is Linux's. -long holds faults as long as they would be in earnest: scripts/chaos.
package chaos
