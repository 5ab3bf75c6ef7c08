package tests

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/robustmq/robustmq-connect/tests/program"
)

// onATerminal runs the program with a terminal as its standard output.
func onATerminal(t *testing.T, args ...string) string {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("this machine has no pseudo terminals: %v", err)
	}
	defer func() { _ = master.Close() }() // nothing is written to it
	require.NoError(t, unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0))
	number, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	require.NoError(t, err)
	slave, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), program.Path(t), args...)
	cmd.Stdout, cmd.Stderr = slave, slave
	require.NoError(t, cmd.Start())
	require.NoError(t, slave.Close())
	var out bytes.Buffer
	_, _ = io.Copy(&out, master) // it ends by an error, since nobody has the other end any more
	require.NoError(t, cmd.Wait(), out.String())
	return strings.ReplaceAll(out.String(), "\r\n", "\n")
}

// RobustMQ's table is some 400 characters wide. Scripts get it whole; a person gets
// what fits.
func TestTheListFitsATerminalAndIsWholeForAScript(t *testing.T) {
	config := `{\"Kafka\":{\"bootstrap_servers\":\"kafka1:9092,kafka2:9092\",\"topic\":\"iot_sensors\",\"key\":\"\",\"compression_type\":\"none\",\"acks\":\"1\"}}`
	row := `{"tenant":"default","connector_name":"iot_sensor_kafka","connector_type":"kafka","config":"` + config + `","topic_name":"iot/sensors/+/data","status":"Running","broker_id":"1","create_time":"2026-11-23 02:52:14","update_time":"2026-11-23 02:52:14"}`
	admin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"code":0,"data":{"data":[`+row+`],"total_count":1},"error":null}`)
	}))
	defer admin.Close()
	list := []string{"mqtt", "connector", "list", "--server", admin.URL}
	shown := onATerminal(t, list...)
	for line := range strings.Lines(shown) {
		assert.LessOrEqual(t, len(line), 101, line)
	}
	assert.Contains(t, shown, "| connector name   | topic id           | status  | create time         | update time         |\n")
	assert.Contains(t, shown, "note: not shown: connector config, broker id, connector type; --wide shows all columns\n")

	whole := program.Call(t, "", nil, program.Path(t), list...)
	require.Zero(t, whole.Code, whole.Stderr)
	assert.Empty(t, whole.Stderr)
	assert.Contains(t, whole.Stdout, strings.ReplaceAll(config, `\`, ""))
	assert.Contains(t, whole.Stdout, "| broker id | create time")
	assert.Equal(t, whole.Stdout, onATerminal(t, append(list, "--wide")...))
}
