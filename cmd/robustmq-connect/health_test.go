package main

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestHealthAsksWhereAPipelineOrAServiceListens(t *testing.T) {
	for _, test := range []struct {
		flag, listen string
		want         []string
	}{
		{"", "", []string{"http://127.0.0.1:4195", "http://127.0.0.1:58080"}},
		{"", "0.0.0.0:58080", []string{"http://127.0.0.1:58080"}},
		{"", ":58080", []string{"http://127.0.0.1:58080"}},
		{"", "[::]:58080", []string{"http://[::1]:58080"}},
		{"10.0.0.1:1", "0.0.0.0:58080", []string{"http://10.0.0.1:1"}},
		{"https://[::]:1/base/", "", []string{"https://[::1]:1/base"}},
		{"https://bridge.example", "", []string{"https://bridge.example"}},
	} {
		got, err := healthAddresses(test.flag, test.listen)
		require.NoError(t, err)
		assert.Equal(t, test.want, got)
	}
	for _, wrong := range []string{"4195", "host", "http://", "ftp://a:1", "http://u:p@a:1", "a:1?x=1", "http://a:b"} {
		_, err := healthAddresses(wrong, "")
		assert.ErrorContains(t, err, "reading --address", wrong)
	}
}
