// SPDX-License-Identifier: Apache-2.0

// Package abuse plays a stranger and a hostile tenant against the installed
// product: a real control plane, and manager, gateway and both dispatchers as
// processes of their own, with the arguments, the rights and the memory limits
// that the chart gives them. Attackers are processes of their own as well, niced
// to 19, so that what is measured is what the product does, not who gets the CPU.
//
// While each attack runs, a neighbour in a namespace of its own publishes 50
// events a second to a healthy endpoint. Of these none may be lost or refused, and
// the time to delivery may grow to three times of what it is without the attack,
// or by 50 ms, which is not judged where other programs keep the machine busy, unless
// CI=true. No process may end or take more memory than its limit: where the
// system lets us make cgroups, the kernel ends a process that tries (with CI=true
// it must let us), and everywhere the peak of what is resident is compared with
// the limit. A case adds what else it promises: CPU of a process, requests to the
// API server, answers of the gateway.
//
// A case is an attack (suite_test.go): its name, what is there before, what the
// attacker does, and what else must hold.
//
// What a caller sends by mistake has a test of its own (inputs_test.go): requests
// made of the OpenAPI document, each with one thing at its limit or beyond it.
//
// Environment:
//
//	ABUSE=full         sizes and times as large as what is claimed, some 20 minutes
//	ABUSE_ROUNDS=n     run all of it so many times, each time against a product of its
//	                   own, and judge the medians of what is measured; what may never
//	                   happen is judged in each round
//	ABUSE_TREE=folder  a checkout to take chart and programs from, to compare with
//	                   another commit; what it cannot do fails
//	ABUSE_LOGS=folder  keep the logs of all processes there
//
// At the end it prints a table: for each case what the neighbour noticed without
// and with the attack, the peak of memory of each process and its limit, and how
// many cores each took.
//
// A case that misses a bound of time or CPU is run twice more, and the medians of
// the three are judged.
package abuse
