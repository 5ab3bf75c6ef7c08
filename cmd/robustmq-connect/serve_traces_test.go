package main

import (
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestACollectorThatIsAwayIsToldOnceAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log strings.Builder
		warn := warnSeldom(slog.New(slog.NewTextHandler(&log, nil)))
		for range 25 {
			warn(errors.New("nobody is there"))
			time.Sleep(5 * time.Second)
		}
		assert.Equal(t, 3, strings.Count(log.String(), "nobody is there"))
	})
}
