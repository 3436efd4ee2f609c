package rpcserver

import (
	"errors"
	"strings"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"

	"github.com/twohop/twohop/internal/frameconn"
	"github.com/twohop/twohop/proto/pb"
	"github.com/twohop/twohop/proto/wire"
)

// answer answers with a result.
func (s *Server) answer(t *task, body []byte) {
	var header []byte
	if kind := t.asked.answerType; kind != "" && kind != t.asked.ContentType {
		var err error
		if header, err = proto.Marshal(&pb.ResponseHeader{ContentType: kind}); err != nil || wire.CheckResponse(header) != nil {
			s.refuse(t, wire.AnswerLost, "the answer's content type is not printable ASCII of at most 127 bytes")
			return
		}
	}
	if n, limit := len(header)+len(body), t.session.MaxMessage(); n > limit {
		s.stats.tooLarge.Add(1)
		s.refuse(t, wire.AnswerLost, "the answer has more bytes than the node takes")
		return
	}
	s.respond(t, wire.OK, header, body)
}

// refuse answers with a code of the SDK's own.
func (s *Server) refuse(t *task, code wire.Code, message string) {
	header := wire.AppendRefusal(nil, &wire.Refusal{Message: clip(message, wire.MaxText)})
	s.respond(t, code, header, nil)
}

// respond queues the one answer of a task. Where the session has ended nobody waits for it.
func (s *Server) respond(t *task, code wire.Code, header, body []byte) {
	if t.oneWay {
		return
	}
	f := wire.Frame{Kind: wire.KindResponse, CallID: t.callID, Status: code, Header: header, Body: body}
	err := t.session.Answer(&f)
	switch {
	case err == nil:
		return
	case errors.Is(err, frameconn.ErrFull):
		s.seldom("answers full", func(unsaid int) {
			s.opts.Logger.Error("answer dropped: the node does not read", "session", t.session.String(), "unsaid", unsaid)
		})
	}
	s.stats.answersLost.Add(1)
}

// appErrorHeader encodes an error of the application. What does not fit the limits is cut, or left out.
func appErrorHeader(err error) []byte {
	h := pb.ResponseHeader{Message: clip(err.Error(), wire.MaxText)}
	if app, ok := errors.AsType[*AppError](err); ok {
		h.AppCode, h.Permanent = clip(app.Code, wire.MaxName), app.Permanent
		if err == error(app) { //nolint:errorlint // the error itself, not one that is around it
			h.Message = clip(app.Message, wire.MaxText)
		}
		for key, value := range app.Details {
			h.Details = append(h.Details, &pb.Metadata{Key: key, Value: strings.ToValidUTF8(value, "?")})
		}
	}
	for {
		header, err := proto.Marshal(&h)
		if err == nil && wire.CheckResponse(header) == nil {
			return header
		}
		if h.Details == nil {
			return nil
		}
		h.Details = nil
	}
}

// clip cuts text to at most limit bytes of UTF-8.
func clip(text string, limit int) string {
	text = strings.ToValidUTF8(text, "?")
	if len(text) <= limit {
		return text
	}
	for limit > 0 && !utf8.RuneStart(text[limit]) {
		limit--
	}
	return text[:limit]
}
