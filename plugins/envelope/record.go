package envelope

import (
	"encoding/binary"
	"hash/crc32"
	"math"
	"slices"
	"strconv"
)

// Record is one MQTT message as RobustMQ's connector writes it to Kafka: the JSON of
// its StorageRecord, at its commit 8bd49dc of August 2026,
// src/common/metadata-struct/src/storage/record.rs. It has no topic, no quality of
// service, no user name and no packet identifier.
type Record struct {
	// ClientID is the client id of the publisher.
	ClientID string
	// Retain is the retain flag.
	Retain bool
	// Payload is the message body; any bytes, none included.
	Payload []byte
	// CreateTime is the time of receipt in Unix seconds, from 0 to maxCreateTime.
	CreateTime int64
	// Key and Tags are those of the record's own metadata, which RobustMQ's connector
	// leaves null. They are read and not written.
	Key  string
	Tags []string

	properties properties
}

// defaultExpiry is how long RobustMQ keeps a message that has no Message Expiry
// Interval, in seconds, by default: its max_message_expiry_interval.
const defaultExpiry = 3600

// maxCreateTime leaves room for the longest Message Expiry Interval behind it.
const maxCreateTime = math.MaxInt64 - math.MaxUint32

// The parts of a record between what differs. What only a broker knows is constant:
// offset 0, the empty shard and segment 0.
const (
	recordHead   = `{"metadata":{"offset":0,"shard":"","segment":0,"header":null,"key":null,"tags":null,"create_t":`
	recordClient = `},"protocol_data":{"mqtt":{"client_id":`
	recordData   = `]},"nats":null,"mq9":null,"amqp":null},"data":`
	recordFrame  = recordHead + `18446744073709551615,"expire_at":18446744073709551615,"crc_num":4294967295` + recordClient +
		`"","retain":false,"format_indicator":null,"response_topic":null,"correlation_data":null,"content_type":null,"user_properties":[` +
		recordData + `[]}`
)

// RecordSize is the length in bytes of the encoded record when no string needs an
// escape, or more.
func RecordSize(r *Record) int {
	p := &r.properties
	n := len(recordFrame) + len(r.ClientID) + bytesSize(len(r.Payload)) +
		len(p.responseTopic) + len(p.contentType) + bytesSize(len(p.correlationData))
	for i := range p.user {
		n += len(`["",""],`) + len(p.user[i].Key) + len(p.user[i].Value)
	}
	return n
}

// AppendEncodeRecord appends the record to dst as one JSON object, with the names,
// the order, the nulls and the numbers of RobustMQ's connector, and returns the
// extended buffer. data and correlation_data are arrays of numbers, user_properties is
// an array of pairs. expire_at is create_t and the Message Expiry Interval, or
// RobustMQ's default where the message has none. Strings are as AppendEncode writes
// them.
func AppendEncodeRecord(dst []byte, r *Record) []byte {
	p := &r.properties
	dst = slices.Grow(dst, RecordSize(r))
	dst = append(dst, recordHead...)
	dst = strconv.AppendInt(dst, r.CreateTime, 10)
	dst = append(dst, `,"expire_at":`...)
	expiry := int64(defaultExpiry)
	if p.has&hasExpiry != 0 && p.expiry > 0 {
		expiry = p.expiry
	}
	dst = strconv.AppendInt(dst, r.CreateTime+expiry, 10)
	dst = append(dst, `,"crc_num":`...)
	dst = strconv.AppendUint(dst, uint64(crc32.ChecksumIEEE(r.Payload)), 10)
	dst = append(dst, recordClient...)
	dst = appendString(dst, r.ClientID)
	dst = append(dst, `,"retain":`...)
	dst = strconv.AppendBool(dst, r.Retain)
	dst = append(dst, `,"format_indicator":`...)
	if p.has&hasFormatIndicator != 0 {
		dst = strconv.AppendInt(dst, p.formatIndicator, 10)
	} else {
		dst = append(dst, `null`...)
	}
	dst = append(dst, `,"response_topic":`...)
	dst = appendOptional(dst, p.responseTopic, p.has&hasResponseTopic != 0)
	dst = append(dst, `,"correlation_data":`...)
	if p.has&hasCorrelationData != 0 {
		dst = appendBytes(dst, []byte(p.correlationData))
	} else {
		dst = append(dst, `null`...)
	}
	dst = append(dst, `,"content_type":`...)
	dst = appendOptional(dst, p.contentType, p.has&hasContentType != 0)
	dst = append(dst, `,"user_properties":[`...)
	for i := range p.user {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, '[')
		dst = appendString(dst, p.user[i].Key)
		dst = append(dst, ',')
		dst = appendString(dst, p.user[i].Value)
		dst = append(dst, ']')
	}
	dst = append(dst, recordData...)
	dst = appendBytes(dst, r.Payload)
	return append(dst, '}')
}

func appendOptional(dst []byte, s string, has bool) []byte {
	if !has {
		return append(dst, `null`...)
	}
	return appendString(dst, s)
}

// numbers holds, for each byte, its decimal text and a comma in the lower 32 bits,
// little end first, and their length above.
var numbers = func() (t [256]uint64) {
	for i := range t {
		var text [4]byte
		n := copy(text[:], strconv.Itoa(i)+",")
		t[i] = uint64(binary.LittleEndian.Uint32(text[:])) | uint64(n)<<32
	}
	return t
}()

// bytesSize is the most that an array of so many numbers takes, with the room that
// appendBytes needs.
func bytesSize(n int) int { return 4*n + 4 }

// appendBytes writes an array of the bytes as numbers, four bytes of text at a time.
func appendBytes(dst, data []byte) []byte {
	dst = append(dst, '[')
	if len(data) == 0 {
		return append(dst, ']')
	}
	at := len(dst)
	dst = slices.Grow(dst, bytesSize(len(data)))
	dst = dst[:cap(dst)]
	for _, c := range data {
		w := numbers[c]
		binary.LittleEndian.PutUint32(dst[at:], uint32(w))
		at += int(w >> 32)
	}
	dst[at-1] = ']'
	return dst[:at]
}
