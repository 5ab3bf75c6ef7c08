//go:build !unix

package main

// followLoad does nothing if the load of the process cannot be measured.
func followLoad() {}
