package node

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/MordragT/nuka/cas"
	"github.com/MordragT/nuka/internal/atomicfile"
	"github.com/MordragT/nuka/pir/cid"
)

const (
	// scrubDelay is how long the node answers before it reads the store in the background.
	scrubDelay = time.Minute
	// scrubSave is how often the node records how far it has read.
	scrubSave = 10 * time.Second
)

// A scrubState says how far the node has read the store. It is kept in a file, because most daemons end before a pass does.
type scrubState struct {
	After    string    `json:"after"`    // the last blob that the present pass has read; "" between two passes
	Finished time.Time `json:"finished"` // the end of the last whole pass
}

func (h *handler) scrubFile() string { return filepath.Join(h.home.Data, "scrub") }

// scrubState reads the file. A file that is missing or malformed is the state of a store that was never read.
func (h *handler) scrubState() (st scrubState, after cid.CID) {
	b, err := os.ReadFile(h.scrubFile())
	if errors.Is(err, fs.ErrNotExist) {
		return st, after
	}
	if err == nil {
		err = json.Unmarshal(b, &st)
	}
	if err == nil && st.After != "" {
		after, err = cid.Parse(st.After)
	}
	if err != nil {
		h.log.Warn("read the store in the background from its beginning", "error", err)
		return scrubState{}, cid.CID{}
	}
	return st, after
}

func (h *handler) saveScrub(st scrubState) {
	b, err := json.Marshal(st)
	if err == nil {
		err = atomicfile.Write(h.scrubFile(), b)
	}
	if err != nil {
		h.log.Warn("record how far the store was read", "error", err)
	}
}

// scrub reads the store in the background, as the setting scrub says, until ctx ends. The store tells of damage by an event.
func (h *handler) scrub(ctx context.Context) {
	for wait := scrubDelay; ; {
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		var err error
		if wait, err = h.scrubOnce(ctx); err != nil && ctx.Err() == nil {
			h.log.Warn("read the store in the background", "error", err)
		}
	}
}

// scrubOnce reads what is left of a pass if one is due, and returns how long to wait for the next one.
func (h *handler) scrubOnce(ctx context.Context) (wait time.Duration, err error) {
	rule := h.config.Get().Scrub
	if rule.Rate == 0 {
		<-ctx.Done() // the configuration does not change
		return 0, nil
	}
	st, after := h.scrubState()
	if due := time.Until(st.Finished.Add(rule.Interval)); st.After == "" && due > 0 && !st.Finished.After(time.Now()) {
		return due, nil
	}
	saved := time.Now()
	done, err := h.store.Scrub(ctx, &cas.ScrubOptions{After: after, Rate: rule.Rate, Reached: func(blob cid.CID, _ cas.Scrubbed) {
		st.After = blob.String()
		if time.Since(saved) >= scrubSave {
			saved = time.Now()
			h.saveScrub(st)
		}
	}})
	if err != nil {
		h.saveScrub(st)
		return scrubDelay, err
	}
	h.saveScrub(scrubState{Finished: time.Now()})
	h.log.Info("read the store in the background", "files", done.Files, "bytes", done.Bytes, "damaged", done.Damaged)
	return rule.Interval, nil
}
