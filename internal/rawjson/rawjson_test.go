package rawjson_test

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/MordragT/nuka/internal/rawjson"
)

// FuzzParts checks that parts are those of encoding/json, and that text that is no JSON does no harm.
func FuzzParts(f *testing.F) {
	for _, text := range []string{
		`{}`, `[]`, ` { "a" : 1 , "b":[ {"c":"}"} , "\"]" ], "\u0061":null,"d\\":-1.5e3 } `, `{"a":{"b":{}},"c":[[],[1,2]]}`, `[true,false,null,"",0]`,
		`{"a"`, `{"a":`, `{"a":"`, `[1`, `{,}`, `[,]`, `{"a" "b"}`, `{1:2}`, "\"\xff\"", `{"é":"\ud800"}`, `]`, `{"a":}`, `["\\\""]`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var object map[string]json.RawMessage
		var array []json.RawMessage
		gotObject, gotArray := map[string]json.RawMessage{}, []json.RawMessage{}
		objectErr := rawjson.Object(text, func(key string, value []byte) error {
			gotObject[key] = value
			return nil
		})
		arrayErr := rawjson.Array(text, func(value []byte) error {
			gotArray = append(gotArray, value)
			return nil
		})
		if !json.Valid(text) {
			return
		}
		if json.Unmarshal(text, &object) == nil && object != nil {
			if diff := cmp.Diff(object, gotObject); objectErr != nil || diff != "" {
				t.Errorf("object: %v %s", objectErr, diff)
			}
		} else if objectErr == nil {
			t.Errorf("%q is no object, and there is no error", text)
		}
		if json.Unmarshal(text, &array) == nil && array != nil {
			if diff := cmp.Diff(array, gotArray); arrayErr != nil || diff != "" {
				t.Errorf("array: %v %s", arrayErr, diff)
			}
		} else if arrayErr == nil {
			t.Errorf("%q is no array, and there is no error", text)
		}
		var want string
		wantErr := json.Unmarshal(text, &want)
		if got, err := rawjson.Text(text); got != want || (err == nil) != (wantErr == nil) {
			t.Errorf("text of %q: got %q, %v; want %q, %v", text, got, err, want, wantErr)
		}
	})
}
