// Package background has work that may take long, and that nobody waits for, give way to the answering of queries.
//
// It knows nothing of the work. Always holds: what it does to a thread ends with that thread.
package background
