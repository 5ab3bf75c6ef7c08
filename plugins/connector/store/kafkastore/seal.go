package kafkastore

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
)

// keyBytes is the length of a key of AES-256.
const keyBytes = 32

// maxKeyID limits the name of a key, which stands in each sealed value.
const maxKeyID = 64

// Keys encrypt the definitions that have secrets. The first one encrypts, and each
// decrypts what it has encrypted.
type Keys struct {
	first string // "" without keys
	all   map[string]cipher.AEAD
}

// sealedJSON is an encrypted definition.
type sealedJSON struct {
	Key  string `json:"key"`  // the id of the key
	Data []byte `json:"data"` // nonce and ciphertext
}

// ParseKeys reads a key file. It has a line per key, "ID KEY": an id of the user's
// choice, and 32 bytes in base64. Lines that begin with # are ignored. An error never
// shows a key.
func ParseKeys(text string) (Keys, error) {
	k := Keys{all: map[string]cipher.AEAD{}}
	for i, line := range strings.Split(text, "\n") {
		fail := func(what string) (Keys, error) {
			return Keys{}, fmt.Errorf("line %d: %s: a line is ID KEY, such as k1 and what openssl rand -base64 32 prints", i+1, what)
		}
		words := strings.Fields(line)
		if len(words) == 0 || strings.HasPrefix(words[0], "#") {
			continue
		}
		if len(words) != 2 {
			return fail(fmt.Sprintf("it has %d words", len(words)))
		}
		id := words[0]
		if len(id) > maxKeyID || strings.ContainsFunc(id, func(r rune) bool { return !topicRune(r) }) {
			return fail("the id is not up to 64 letters, digits, '.', '_' and '-'")
		}
		if k.all[id] != nil {
			return fail(fmt.Sprintf("the id %s is there twice", id))
		}
		raw, err := base64.StdEncoding.DecodeString(words[1])
		if err != nil || len(raw) != keyBytes {
			return fail(fmt.Sprintf("the key %s is not %d bytes in base64", id, keyBytes))
		}
		block, err := aes.NewCipher(raw)
		if err == nil {
			k.all[id], err = cipher.NewGCM(block)
		}
		if err != nil {
			return fail("the key cannot be used")
		}
		if k.first == "" {
			k.first = id
		}
	}
	if k.first == "" {
		return Keys{}, errors.New("it holds no key: a line is ID KEY, such as k1 and what openssl rand -base64 32 prints")
	}
	return k, nil
}

// given reports whether there is a key to encrypt with.
func (k Keys) given() bool { return k.first != "" }

// seal encrypts a definition for one record key: in the value of another one it cannot
// be decrypted.
func (k Keys) seal(recordKey string, plain []byte) (sealedJSON, error) {
	aead := k.all[k.first]
	nonce := make([]byte, aead.NonceSize())
	if _, err := rand.Read(nonce); err != nil {
		return sealedJSON{}, fmt.Errorf("encrypting: %w", err)
	}
	return sealedJSON{Key: k.first, Data: aead.Seal(nonce, nonce, plain, bound(recordKey))}, nil
}

func (k Keys) open(recordKey string, s sealedJSON) ([]byte, error) {
	aead := k.all[s.Key]
	switch {
	case aead == nil && !k.given():
		return nil, fmt.Errorf("it is encrypted by the key %.64q: give the file with that key by --store-key-file", s.Key)
	case aead == nil:
		return nil, fmt.Errorf("it is encrypted by the key %.64q, which the file of --store-key-file does not have: add it there", s.Key)
	case len(s.Data) < aead.NonceSize():
		return nil, errors.New("the encrypted definition is cut off")
	}
	plain, err := aead.Open(nil, s.Data[:aead.NonceSize()], s.Data[aead.NonceSize():], bound(recordKey))
	if err != nil {
		return nil, fmt.Errorf("it cannot be decrypted by the key %.64q: the key is another one of that id, or the value was changed", s.Key)
	}
	return plain, nil
}

// bound is what a sealed definition belongs to.
func bound(recordKey string) []byte { return []byte("robustmq-connect store\x00" + recordKey) }
