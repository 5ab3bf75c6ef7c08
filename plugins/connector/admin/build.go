package admin

import (
	"context"
	"net/http"
)

// Build is the data of a version: what --version prints.
type Build struct {
	Version string `json:"version"`
	Commit  string `json:"commit"`
	Go      string `json:"go"`      // of the compiler
	Benthos string `json:"benthos"` // of the engine
	Connect string `json:"connect"` // of Redpanda Connect's components
}

func (s *Server) version(context.Context, *http.Request, []byte) (reply, error) {
	return reply{data: s.options.Build}, nil
}
