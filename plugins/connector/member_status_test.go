package connector

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestTheStateIsThatOfTheWorstMember(t *testing.T) {
	member := func(n int, state State, reason string, waits ...Need) MemberStatus {
		one := MemberStatus{Member: n, State: state, Reason: reason}
		for _, need := range waits {
			one.Waits = append(one.Waits, Wait{For: need})
		}
		return one
	}
	for _, tc := range []struct {
		all    []MemberStatus
		state  State
		reason string
	}{
		{[]MemberStatus{member(0, Running, "")}, Running, ""},
		{[]MemberStatus{member(1, Waiting, "away")}, Waiting, "member 2 of 3: away"},
		{[]MemberStatus{member(0, Running, ""), member(1, Running, "")}, Running, ""},
		{[]MemberStatus{member(0, Running, ""), member(1, Waiting, "away")}, Waiting, "member 2 of 3: away"},
		{[]MemberStatus{member(2, Failed, "broken"), member(0, Waiting, "away"), member(1, Unknown, "silent")}, Failed, "member 3 of 3: broken"},
		{[]MemberStatus{member(2, Waiting, "away"), member(1, Unknown, "silent"), member(0, Running, "")}, Unknown, "member 2 of 3: silent"},
		{[]MemberStatus{member(0, Failed, "broken"), member(1, Failed, "broken too")}, Failed, "member 1 of 3: broken"},
		{[]MemberStatus{member(1, Unknown, "silent"), member(0, Waiting, "delivers", NeedBroker, NeedUpdate)}, Waiting, "delivers"},
		{[]MemberStatus{member(1, Waiting, "delivers", NeedUpdate), member(0, Running, "")}, Waiting, "member 2 of 3: delivers"},
	} {
		one := Status{Parallelism: 3}
		one.SetMembers(tc.all)
		assert.Equal(t, tc.state, one.State)
		assert.Equal(t, tc.reason, one.Reason)
		assert.Len(t, one.Members, len(tc.all))
	}
}

func TestFiguresOfMembersAddUp(t *testing.T) {
	at := func(s int64) time.Time { return time.Unix(s, 0) }
	text := func(s string) *string { return &s }
	one := Sample{
		Figures: Figures{
			LastSend: at(2), Sent: 1, Failed: 2, Retried: 3, Discarded: 4, DeadLettered: 5, InFlight: 6, OldestUnacked: time.Second,
			LastError: "old", LastErrorSince: at(1), LastMessage: text("newer"),
		},
		Received: 7, Acknowledged: 8, Latency: 9,
	}
	one.Add(Sample{
		Figures: Figures{
			LastSend: at(1), Sent: 10, Failed: 20, Retried: 30, Discarded: 40, DeadLettered: 50, InFlight: 60, OldestUnacked: time.Minute,
			LastError: "new", LastErrorSince: at(2), LastMessage: text("older"),
		},
		Received: 70, Acknowledged: 80, Latency: 90,
	})
	assert.Equal(t, Sample{
		Figures: Figures{
			LastSend: at(2), Sent: 11, Failed: 22, Retried: 33, Discarded: 44, DeadLettered: 55, InFlight: 66, OldestUnacked: time.Minute,
			LastError: "new", LastErrorSince: at(2), LastMessage: text("newer"),
		},
		Received: 77, Acknowledged: 88, Latency: 99,
	}, one)
	none := Sample{}
	none.Add(Sample{Figures: Figures{LastSend: at(1), LastMessage: text("a")}})
	assert.Equal(t, "a", *none.LastMessage)
	none.Add(Sample{Figures: Figures{LastSend: at(2)}})
	assert.Equal(t, "a", *none.LastMessage, "nobody tails there")
	assert.Equal(t, at(2), none.LastSend)
}
