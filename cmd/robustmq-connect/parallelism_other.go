//go:build !unix

package main

// followLoad does nothing where the load of the process is not known.
func followLoad() {}
