package connector

// SampleMessage is a message to preview, as a publisher sends it.
type SampleMessage struct {
	Topic   string
	Payload []byte
	QoS     int
	Retain  bool
	// User are the user properties in their order, a key and a value each.
	User [][2]string
	// Partitions is how many the Kafka topic has, 0 where that is not known.
	Partitions int
}

// Preview is the record that a connector would write of a message.
type Preview struct {
	Topic      string // of Kafka
	Key, Value []byte // nil for none
	Partition  *int32 // nil where it is not known
	Headers    []Header
	// Refused says why no record can be made of the message, and which field is at
	// fault. Nothing else is set then.
	Refused *InvalidError
}

// Header is a header of a record.
type Header struct {
	Key   string
	Value []byte
}
