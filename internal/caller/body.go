package caller

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// The content types that bodies of messages have. Raw bytes have none.
const (
	TypeProtobuf = "application/protobuf"
	TypeJSON     = "application/json"
)

// IsJSON reports whether a content type is JSON, with or without parameters.
func IsJSON(contentType string) bool {
	return contentType == TypeJSON || strings.HasPrefix(contentType, TypeJSON+";")
}

// Encode returns in as a body: bytes as they are, a protobuf message in its wire form, anything else as JSON. What it
// encodes it appends to buf. For nil the content type is that of the answer which out waits for.
func Encode(buf []byte, in, out any) (body []byte, contentType string, err error) {
	switch m := in.(type) {
	case nil:
		return nil, typeOf(out), nil
	case []byte:
		return m, "", nil
	case proto.Message:
		body, err = proto.MarshalOptions{}.MarshalAppend(buf, m)
		return body, TypeProtobuf, err
	}
	text, err := json.Marshal(in)
	if err != nil {
		return nil, "", err
	}
	return append(buf, text...), TypeJSON, nil
}

func typeOf(out any) string {
	switch out.(type) {
	case nil, *[]byte:
		return ""
	case proto.Message:
		return TypeProtobuf
	}
	return TypeJSON
}

// Decode reads a body into out, which is a protobuf message or a pointer to what JSON can fill. An empty body leaves what
// is not a protobuf message as it is.
func Decode(contentType string, body []byte, out any) error {
	if m, ok := out.(proto.Message); ok {
		switch {
		case IsJSON(contentType):
			return protojson.Unmarshal(body, m)
		case contentType == TypeProtobuf || contentType == "":
			return proto.Unmarshal(body, m)
		}
		return fmt.Errorf("content type is %q, must be %s or %s", contentType, TypeProtobuf, TypeJSON)
	}
	if contentType != "" && !IsJSON(contentType) {
		return fmt.Errorf("content type is %q, must be %s", contentType, TypeJSON)
	}
	if len(body) == 0 {
		return nil
	}
	if out == nil {
		return errors.New("there is nothing to decode into")
	}
	return json.Unmarshal(body, out)
}
