//go:build integration

package integration

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/robustmq/robustmq-connect/plugins/connector/admin"
	"github.com/robustmq/robustmq-connect/tests/program"
)

// allow lets the user of the tests do these operations on what b names. Everything else
// there is refused, and everything at all without an operation.
func allow(t *testing.T, kafka *kadm.Client, b *kadm.ACLBuilder, operations ...kadm.ACLOperation) {
	t.Helper()
	who := "User:ANONYMOUS"
	if len(operations) == 0 {
		who, operations = "User:nobody", []kadm.ACLOperation{kadm.OpDescribe}
	}
	created, err := kafka.CreateACLs(t.Context(), b.ResourcePatternType(kadm.ACLPatternLiteral).Operations(operations...).Allow(who).AllowHosts("*"))
	require.NoError(t, err)
	require.Len(t, created, len(operations))
	for _, one := range created {
		require.NoError(t, one.Err)
	}
}

// A worker that lacks one right says which, on what, and what to do.
func TestAWorkerNamesTheRightThatItLacks(t *testing.T) {
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers), kgo.MetadataMinAge(20*time.Millisecond))
	require.NoError(t, err)
	defer client.Close()
	kafka := kadm.NewClient(client)
	token := filepath.Join(t.TempDir(), "token")
	require.NoError(t, os.WriteFile(token, []byte(strings.Repeat("0123456789abcdef", 4)), 0o600))
	for i, tc := range []struct {
		lacks string
		rest  []kadm.ACLOperation
		on    string // the end of the name of a topic, a group or a transactional id
		says  string
	}{
		{"WRITE", []kadm.ACLOperation{kadm.OpRead, kadm.OpDescribe, kadm.OpDescribeConfigs}, "definitions", `: give the user READ, WRITE and DESCRIBE on topic "PREFIX-definitions"`},
		{"READ", []kadm.ACLOperation{kadm.OpWrite, kadm.OpDescribe, kadm.OpDescribeConfigs}, "definitions", `: give the user READ, WRITE and DESCRIBE on topic "PREFIX-definitions"`},
		{"DESCRIBE", nil, "definitions", `: give the user READ, WRITE and DESCRIBE on topic "PREFIX-definitions"`},
		{"WRITE", []kadm.ACLOperation{kadm.OpDescribe}, "writer", `: give the user WRITE and DESCRIBE on the transactional id "PREFIX-writer"`},
		{"DESCRIBE", nil, "assignment", `: give the user DESCRIBE on topic "PREFIX-assignment"`},
		{"READ", []kadm.ACLOperation{kadm.OpDescribe}, "workers", `: give the user READ on the group "PREFIX-workers"`},
		{"DESCRIBE", nil, "workers", `: give the user READ on the group "PREFIX-workers"`},
	} {
		t.Run(tc.lacks+" on "+tc.on, func(t *testing.T) {
			prefix := fmt.Sprintf("rights_%d_%d", i, time.Now().UnixNano())
			for suffix, partitions := range map[string]int32{"definitions": 1, "assignment": 64} {
				_, err := kafka.CreateTopic(t.Context(), partitions, 1, map[string]*string{"cleanup.policy": kadm.StringPtr("compact")}, prefix+"-"+suffix)
				require.NoError(t, err)
			}
			b, name := kadm.NewACLs(), prefix+"-"+tc.on
			switch tc.on {
			case "writer":
				b.TransactionalIDs(name)
			case "workers":
				b.Groups(name)
			default:
				b.Topics(name)
			}
			allow(t, kafka, b, tc.rest...)
			// The broker learns of rights in their order, so the last one tells that it
			// knows all.
			last := prefix + "-last"
			allow(t, kafka, kadm.NewACLs().Topics(last))
			require.Eventually(t, func() bool {
				topics, err := kafka.ListTopics(t.Context(), last)
				return errors.Is(err, kerr.TopicAuthorizationFailed) || errors.Is(topics[last].Err, kerr.TopicAuthorizationFailed)
			}, time.Minute, 20*time.Millisecond)

			address := program.FreeAddress(t)
			p := serving{program.Start(t, address, "serve", "--store", "kafka://"+brokers+"/"+prefix, "--mqtt-url", mqttURL, "--listen", address,
				"--advertise", "http://"+address, "--cluster-token-file", token)}
			says := strings.ReplaceAll(tc.says, "PREFIX", prefix)
			var seen []string
			require.Eventually(t, func() bool {
				seen = []string{p.Output()}
				if answer, err := p.call(http.MethodPost, admin.PathCreate, definition("rights", "rights/#", prefix)); err == nil && answer.Error != nil {
					seen = append(seen, *answer.Error)
				}
				return strings.Contains(strings.Join(seen, "\n"), says) || strings.Contains(strings.Join(seen, "\n"), strings.ReplaceAll(says, `"`, `\"`))
			}, time.Minute, 100*time.Millisecond, "%q is not said: %q", says, &seen)
		})
	}
}
