package supervisor

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/robustmq/robustmq-connect/plugins/connector"
)

// Four of these in a row made 100 MB of one byte, six would have made 10^12.
func TestChainedReplacementsFailTheirMessageAlone(t *testing.T) {
	r := newRig(t)
	key := `${! content().string()` + strings.Repeat(`.replace_all(\"a\",\"aaaaaaaaaaaa\")`, 6) + ` }`
	r.create(r.parse("bomb", "in/#", fmt.Sprintf(`{"bootstrap_servers":%q,"topic":"bombs","key":"%s"}`, r.kafka.Addr(), key), `{"strategy":"discard"}`))
	r.create(r.conn("good", "in/#", "good", `,"key":"${! content().string().uppercase() }"`))
	r.ready("bomb")
	r.ready("good")
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	r.publish("in/x", "a", "b")
	assert.Equal(t, "b", string(r.records("bombs", 1)[0].Key), "what stays within the limits goes through")
	r.records("good", 2)
	runtime.ReadMemStats(&after)
	assert.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(100<<20))
	require.Eventually(t, func() bool {
		_, figures, err := r.Detail("bomb")
		return err == nil && figures.Discarded == 1
	}, patience, patience/1000)
	status, _, err := r.Detail("bomb")
	require.NoError(t, err)
	assert.Equal(t, connector.Running, status.State)
}
