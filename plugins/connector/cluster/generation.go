package cluster

import (
	"net/http"
	"strconv"
)

// Sign makes a request to another worker one of this worker.
func (s *Service) Sign(header http.Header) {
	header.Set(TokenHeader, s.secret)
	header.Del(generationHeader)
	if now, ok := s.generation(); ok {
		header.Set(generationHeader, strconv.Itoa(int(now)))
	}
}

// Behind reports whether a request comes from a worker that has taken part in a later
// rebalance than this one. What this worker believes to own may then be another one's.
// A sender that is itself behind does no harm: this worker knows better.
func (s *Service) Behind(header http.Header) bool {
	ours, ok := s.generation()
	return behind(header, ours, ok)
}

func behind(header http.Header, ours int32, member bool) bool {
	theirs, err := strconv.ParseInt(header.Get(generationHeader), 10, 32)
	if err != nil {
		return false // of an older version, or no member at the moment
	}
	return !member || int64(ours) < theirs
}

// generation returns the number of the last rebalance in which this worker took part. It
// is not ok while it is no member.
func (s *Service) generation() (number int32, ok bool) {
	m := s.joined()
	if m == nil {
		return 0, false
	}
	id, number := m.client.GroupMetadata()
	return number, id != "" && number >= 0
}
