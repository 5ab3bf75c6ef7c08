package mqtt

import (
	"bytes"
	"testing"
	"time"

	packets5 "github.com/eclipse/paho.golang/packets"
	packets3 "github.com/eclipse/paho.mqtt.golang/packets"
	"github.com/stretchr/testify/require"
)

func TestAutoFallsBackToMQTT311(t *testing.T) {
	for name, c := range map[string]struct {
		refuse     func(p *peer)
		remembered bool
	}{
		"with return code 1":                         {func(p *peer) { p.write([]byte{0x20, 2, 0, 1}) }, true},
		"with return code 1 in the format of MQTT 5": {func(p *peer) { p.write([]byte{0x20, 3, 0, 1, 0}) }, true},
		"with return code 0, in the format of 3.1.1": {func(p *peer) { p.write([]byte{0x20, 2, 0, 0}) }, true},
		"with reason 0x84":                           {func(p *peer) { p.write([]byte{0x20, 3, 0, 0x84, 0}) }, true},
		"with reason 0x84 and no properties":         {func(p *peer) { p.write([]byte{0x20, 2, 0, 0x84}) }, true},
		"with reason 0x84 and invalid properties":    {func(p *peer) { p.write([]byte{0x20, 4, 0, 0x84, 9, 9}) }, true},
		"by closing the connection":                  {func(p *peer) { p.conn.Close() }, false},
		"by silence":                                 {func(p *peer) {}, false},
	} {
		t.Run(name, func(t *testing.T) {
			b := newScripted(t)
			in, l := started(t, b.url(), "connect_timeout: 4s\nclean_session: false")
			done := background(in)
			p := b.accept()
			require.Equal(t, byte(5), p.version())
			c.refuse(p)
			p = b.accept()
			p.welcome(false, true)
			require.NoError(t, wait(t, done))
			want := "speaks MQTT 3.1.1 on this connection"
			if c.remembered {
				want = "speaks MQTT 3.1.1 with it from now on"
			}
			require.Len(t, l.Lines(want), 1)

			// A broker that did not refuse explicitly may have had another reason.
			p.conn.Close()
			<-in.current().dead
			done = background(in)
			p = b.accept()
			if !c.remembered {
				p.welcome5(true, true)
				require.NoError(t, wait(t, done))
				p.write(publish5("a/b", 1, 1, nil, "x"))
				_, acks := readN(t, in, 1)
				ackAll(t, acks, nil)
				require.Equal(t, ackOf(typePuback, 1), p.read().String())
				return
			}
			p.welcome(true, false)
			require.NoError(t, wait(t, done))
			p.write(publish("a/b", 1, 1, "x"))
			_, acks := readN(t, in, 1)
			ackAll(t, acks, nil)
			require.Equal(t, ackOf(typePuback, 1), p.read().String())
		})
	}
}

// A CONNACK code that belongs to neither version is a refusal, and does not make the
// input try another version.
func TestConnackRefusals(t *testing.T) {
	for name, c := range map[string]struct {
		connack []byte
		want    string
	}{
		"2 in the format of 3.1.1":          {[]byte{0x20, 2, 0, 2}, "client identifier not valid (0x85)"},
		"3 in the format of MQTT 5":         {[]byte{0x20, 3, 0, 3, 0}, "server unavailable (0x88)"},
		"4 in the format of 3.1.1":          {[]byte{0x20, 2, 0, 4}, "bad user name or password (0x86)"},
		"5 in the format of MQTT 5":         {[]byte{0x20, 3, 0, 5, 0}, "not authorized (0x87)"},
		"0x87 and no properties":            {[]byte{0x20, 2, 0, 0x87}, "not authorized (0x87)"},
		"0x87 and properties cut short":     {[]byte{0x20, 5, 0, 0x87, 9, 31, 0}, "not authorized (0x87)"},
		"a code of neither version, 3.1.1":  {[]byte{0x20, 2, 0, 6}, "unknown return code 6"},
		"a code of neither version, MQTT 5": {[]byte{0x20, 3, 0, 0x7f, 0}, "unknown return code 127"},
		"one byte":                          {[]byte{0x20, 1, 0}, "malformed CONNACK of 1 bytes"},
		"properties cut short":              {[]byte{0x20, 5, 0, 0, 9, 31, 0}, "malformed CONNACK"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newScripted(t)
			in, _ := started(t, b.url(), "")
			done := background(in)
			p := b.accept()
			require.Equal(t, byte(5), p.version())
			p.write(c.connack)
			require.ErrorContains(t, wait(t, done), c.want)
		})
	}
}

// A broker that restarts closes connections too. Once it has spoken MQTT 5, a closed
// connection must not make the input give up MQTT 5.
func TestAutoKeepsMQTT5OnceTheBrokerHasSpokenIt(t *testing.T) {
	b := newScripted(t)
	in, _ := started(t, b.url(), "clean_session: false")
	done := background(in)
	p := b.joined5(done, false, true)
	p.conn.Close()
	<-in.current().dead
	done = background(in)
	p = b.accept()
	require.Equal(t, byte(5), p.version())
	p.conn.Close()
	require.ErrorContains(t, wait(t, done), "the broker closed the connection on MQTT 5")
	done = background(in)
	b.accept().welcome5(true, true)
	require.NoError(t, wait(t, done))
}

func TestVersion5DoesNotFallBack(t *testing.T) {
	b := newScripted(t)
	in, _ := started(t, b.url(), "protocol_version: '5'")
	done := background(in)
	p := b.accept()
	p.version()
	p.write([]byte{0x20, 2, 0, 1})
	require.ErrorContains(t, wait(t, done), "the broker answered in MQTT 3.1.1 on MQTT 5")
}

func TestConnectPacketHasTheConfiguredValues(t *testing.T) {
	yaml := `
user: me
password: secret
keepalive: 7
qos: 2
topic_qos: {a/#: 1}
clean_session: false
receive_maximum: 100
user_properties: {z: "1", a: "2"}
no_local: true
retain_as_published: true
retain_handling: 2
will: {enabled: true, qos: 1, retained: true, topic: gone, payload: bye}
`
	b := newScripted(t)
	in, _ := started(t, b.url(), yaml)
	done := background(in)
	p := b.accept()
	f := p.read()
	hello := packets5.Connect{Properties: &packets5.Properties{}}
	require.NoError(t, hello.Unpack(bytes.NewBuffer(f.body)))
	require.Equal(t, []any{"test", "me", "secret", uint16(7), false}, []any{hello.ClientID, hello.Username, string(hello.Password), hello.KeepAlive, hello.CleanStart})
	require.Equal(t, uint32(0xffffffff), *hello.Properties.SessionExpiryInterval)
	require.Equal(t, uint16(100), *hello.Properties.ReceiveMaximum)
	require.Nil(t, hello.Properties.TopicAliasMaximum)
	require.Nil(t, hello.Properties.MaximumPacketSize, "with it a broker silently drops larger messages")
	require.Equal(t, []packets5.User{{Key: "a", Value: "2"}, {Key: "z", Value: "1"}}, hello.Properties.User)
	require.Equal(t, []any{true, byte(1), true, "gone", "bye"}, []any{hello.WillFlag, hello.WillQOS, hello.WillRetain, hello.WillTopic, string(hello.WillMessage)})
	p.write(robustMQConnack)
	sub := p.subscribe5()
	require.Equal(t, []packets5.SubOptions{{Topic: "a/#", QoS: 1, NoLocal: true, RetainAsPublished: true, RetainHandling: 2}}, sub.Subscriptions)
	p.write(packet(0x90, u16(sub.PacketID), []byte{0, 1}))
	require.NoError(t, wait(t, done))
	require.Equal(t, time.Minute, in.current().keepAlive, "the broker decides")
}

func TestConnectPacketOfMQTT311HasTheConfiguredValues(t *testing.T) {
	b := newScripted(t)
	in, _ := started(t, "tcp://you:swordfish@"+b.ln.Addr().String(), v311+"user: me\npassword: secret\nwill: {enabled: true, topic: gone}")
	done := background(in)
	p := b.accept()
	f := p.read()
	hello := packets3.NewControlPacket(packets3.Connect).(*packets3.ConnectPacket)
	require.NoError(t, hello.Unpack(bytes.NewBuffer(f.body)))
	require.Equal(t, []any{"test", "you", "swordfish", uint16(30), false, "gone"}, []any{hello.ClientIdentifier, hello.Username, string(hello.Password), hello.Keepalive, hello.CleanSession, hello.WillTopic})
	p.write([]byte{0x20, 2, 0, 5})
	err := wait(t, done)
	require.ErrorContains(t, err, "not authorized (0x87)")
	require.NotContains(t, err.Error(), "swordfish")
}

func TestFirstConnectionSubscribesToAnOldSession(t *testing.T) {
	b := newScripted(t)
	in, l := started(t, b.url(), "clean_session: false")
	done := background(in)
	p := b.accept()
	require.Equal(t, byte(5), p.version())
	expiry := []byte{17, 0, 0, 0, 60}
	p.write(packet(0x20, []byte{1, 0, byte(len(expiry))}, expiry))
	sub := p.subscribe5()
	require.Equal(t, byte(1), sub.Subscriptions[0].RetainHandling, "retained messages were sent before")
	p.write(packet(0x90, u16(sub.PacketID), []byte{0, 1}))
	require.NoError(t, wait(t, done))
	require.Len(t, l.Lines("keeps the session for 1m0s only"), 1)
}

func TestSubscribeRespectsTheMaximumPacketSize(t *testing.T) {
	b := newScripted(t)
	in, _ := started(t, b.url(), "")
	in.conf.topics = nil
	for range 40 {
		in.conf.topics = append(in.conf.topics, subscription{filter: "some/filter/of/some/length/" + string(rune('a'+len(in.conf.topics))), qos: 1})
	}
	done := background(in)
	p := b.accept()
	p.version()
	maximum := []byte{39, 0, 0, 0, 200}
	p.write(packet(0x20, []byte{0, 0, byte(len(maximum))}, maximum))
	for granted := 0; granted < 40; {
		f := p.read()
		require.LessOrEqual(t, len(f.body), 198)
		sub := packets5.Subscribe{Properties: &packets5.Properties{}}
		require.NoError(t, sub.Unpack(bytes.NewBuffer(f.body)))
		granted += len(sub.Subscriptions)
		p.write(packet(0x90, u16(sub.PacketID), []byte{0}, bytes.Repeat([]byte{1}, len(sub.Subscriptions))))
	}
	require.NoError(t, wait(t, done))
}

func TestSharedSubscriptionWithoutBrokerSupportFails(t *testing.T) {
	b := newScripted(t)
	in, _ := started(t, b.url(), "")
	in.conf.topics = []subscription{{filter: "$share/g/a", qos: 1}}
	done := background(in)
	p := b.accept()
	p.version()
	p.write(packet(0x20, []byte{0, 0, 2, 42, 0}))
	require.ErrorContains(t, wait(t, done), `subscribing to "$share/g/a": shared subscriptions not supported (0x9E): remove $share/group/ from the filter`)
}

func TestTopicAliasAndProperties(t *testing.T) {
	b := newScripted(t)
	in, _ := started(t, b.url(), "topic_alias_maximum: 10")
	done := background(in)
	p := b.joined5(done, false, true)
	var raw bytes.Buffer
	for _, m := range corpus()[2:4] { // the first sets the alias, the second uses it
		raw.Write(encode5(t, &m))
	}
	p.write(raw.Bytes())
	batch, ack := readBatch(t, in)
	require.Len(t, batch, 2)
	require.NoError(t, ack(t.Context(), nil))
	require.Equal(t, ackOf(typePubrec, 1), p.read().String())
	require.Equal(t, ackOf(typePuback, 9), p.read().String())
	got := metadata(t, batch[0])
	delete(got, "mqtt_timestamp_ms")
	require.Equal(t, map[string]any{
		"mqtt_duplicate": true, "mqtt_qos": 2, "mqtt_retained": true, "mqtt_topic": "é/ß", "mqtt_message_id": 1,
		"mqtt_content_type": "application/json", "mqtt_response_topic": "reply/to",
		"mqtt_correlation_data": "\x00\x01\xff", "mqtt_payload_format_indicator": 1, "mqtt_message_expiry_interval": 1 << 20,
		"mqtt_user_properties": []any{
			map[string]any{"key": "k", "value": "v"}, map[string]any{"key": "k", "value": "w"}, map[string]any{"key": "", "value": ""},
		},
	}, got)
	require.Equal(t, "é/ß", metadata(t, batch[1])["mqtt_topic"])
	p.write(publish5("", 0, 0, []byte{35, 0, 9}, "x"))
	require.Equal(t, []frame{{0xe0, []byte{reasonProtocol}}}, p.gone())
}

func TestConnectTriesEachURLInTurn(t *testing.T) {
	dead, b := newScripted(t), newScripted(t)
	dead.ln.Close()
	in, _ := started(t, "'"+dead.url()+","+b.url()+"'", v311)
	done := background(in)
	b.accept().welcome(false, true)
	require.NoError(t, wait(t, done))
}

func TestConnectTimeout(t *testing.T) {
	b := newScripted(t)
	in, _ := started(t, b.url(), v311+"connect_timeout: 100ms")
	done := background(in)
	b.accept()
	require.ErrorContains(t, wait(t, done), "connecting to "+b.url()+": ")
}

func TestConnectionTest(t *testing.T) {
	b := newScripted(t)
	in, _ := started(t, b.url(), v311)
	done := make(chan error, 1)
	go func() { done <- in.ConnectionTest(t.Context())[0].Err }()
	p := b.accept()
	p.welcome(false, false)
	require.Equal(t, []frame{{0xe0, []byte{}}}, p.gone())
	require.NoError(t, wait(t, done))
	b.ln.Close()
	require.ErrorContains(t, in.ConnectionTest(t.Context())[0].Err, "connecting to "+b.url())
}

func TestReconnectReusesTheAssignedClientID(t *testing.T) {
	b := newScripted(t)
	in, _ := started(t, b.url(), "clean_session: false")
	in.conf.clientID = ""
	done := background(in)
	p := b.accept()
	p.welcome5(false, true, append([]byte{18}, text("given")...)...)
	require.NoError(t, wait(t, done))
	p.conn.Close()
	<-in.current().dead
	done = background(in)
	p = b.accept()
	hello := packets5.Connect{Properties: &packets5.Properties{}}
	require.NoError(t, hello.Unpack(bytes.NewBuffer(p.read().body)))
	require.Equal(t, "given", hello.ClientID)
	p.write([]byte{0x20, 3, 1, 0, 0})
	p.grant5()
	require.NoError(t, wait(t, done))
}
