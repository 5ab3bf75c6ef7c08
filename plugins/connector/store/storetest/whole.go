package storetest

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/robustmq/robustmq-connect/plugins/connector/store"
)

func aStoreMovesAsAWhole(t *testing.T, rig Rig) {
	s := rig.Open(t)
	c := revise(t, s, revise(t, s, create(t, s, "c")))
	_, err := s.Mark(c)
	require.NoError(t, err)
	_, err = s.Release(revise(t, s, create(t, s, "gone")))
	require.NoError(t, err)
	session := store.Session{Endpoint: "h:1", ClientID: "x", Connector: "c", Made: true}
	require.NoError(t, s.PutSession(session))
	w, err := s.Whole()
	require.NoError(t, err)
	require.NoError(t, s.PutSession(store.Session{Endpoint: "h:2", ClientID: "y"}))
	create(t, s, "other")

	var archive bytes.Buffer
	require.NoError(t, w.Archive(&archive))
	w, err = store.ReadArchive(&archive)
	require.NoError(t, err)
	require.NoError(t, s.Fill(w))
	for range 2 {
		all := load(t, s)
		require.Len(t, all.Definitions, 1, "what was there is gone")
		assert.Equal(t, c.Revision, all.Definitions[0].Revision)
		assert.Equal(t, "secret", all.Definitions[0].Connector.MQTT.Text("password"))
		assert.Len(t, history(t, s, all.Definitions[0]), 2)
		assert.Len(t, all.Released, 2)
		assert.Equal(t, []store.Session{session}, all.Sessions)
		s = rig.Open(t)
	}
	assert.Equal(t, 3, create(t, s, "gone").Revision)
}
