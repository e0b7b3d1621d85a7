package realize

import (
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/nuon"
	"github.com/MordragT/nuka/protocol"
	"github.com/MordragT/nuka/source"
)

// label returns a name of a PIR for people. The label of a fetch is its origin.
func label(p *pir.PIR, origins []byte) string {
	switch {
	case p.Kind == pir.Fetch:
		if from, err := splitOrigins(origins); err == nil && len(from) > 0 {
			return from[0].String()
		}
		return p.Hash.String()[:min(16, len(p.Hash.String()))] + "…"
	case p.Version != "":
		return p.Name + " " + p.Version
	}
	return p.Name
}

// joinOrigins makes one canonical list of canonical origins.
func joinOrigins(origins []string) ([]byte, error) {
	list := nuon.List{}
	for _, text := range origins {
		if _, err := source.ParseOrigin([]byte(text)); err != nil {
			return nil, protocol.Errorf(protocol.Invalid, "%w", err)
		}
		rec, err := nuon.DecodeRecord([]byte(text))
		if err != nil {
			return nil, err
		}
		list = append(list, rec)
	}
	return nuon.Encode(list)
}

// splitOrigins is the reverse of joinOrigins.
func splitOrigins(joined []byte) ([]source.Origin, error) {
	if len(joined) == 0 {
		return nil, nil
	}
	v, err := nuon.Decode(joined)
	if err != nil {
		return nil, err
	}
	list, _ := v.(nuon.List)
	var origins []source.Origin
	for _, item := range list {
		text, err := nuon.Encode(item)
		if err != nil {
			return nil, err
		}
		o, err := source.ParseOrigin(text)
		if err != nil {
			return nil, err
		}
		origins = append(origins, o)
	}
	return origins, nil
}
