package osv

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	gocvss20 "github.com/pandatix/go-cvss/20"
	gocvss30 "github.com/pandatix/go-cvss/30"
	gocvss31 "github.com/pandatix/go-cvss/31"
	gocvss40 "github.com/pandatix/go-cvss/40"
)

// A Level is how bad a vulnerability is in the eyes of those who recorded it. Most records have none.
type Level int

// The levels. The zero Level is unknown, and counts as more than low: nobody said that it is harmless.
const (
	Unrated Level = iota
	Low
	Medium
	High
	Critical
)

var levelNames = []string{"unrated", "low", "medium", "high", "critical"}

func (l Level) String() string { return levelNames[l] }

// ParseLevel reads a level as String writes it.
func ParseLevel(s string) (Level, bool) {
	for i, name := range levelNames {
		if s == name {
			return Level(i), true
		}
	}
	return Unrated, false
}

// Rank orders levels by how much attention they need: an unrated one needs as much as a medium one.
func (l Level) Rank() int {
	if l == Unrated {
		return int(Medium)
	}
	return int(l)
}

// maxVector bounds a CVSS vector, in bytes.
const maxVector = 512

// severity sets the level of a record to the worst of its severities, else to what its database calls it. What cannot be read is a fault, and no level.
func (r *Record) severity(lists []json.RawMessage, database json.RawMessage) {
	for _, text := range lists {
		if isNull(text) {
			continue
		}
		var list []struct {
			Type  string          `json:"type"`
			Score json.RawMessage `json:"score"`
		}
		if err := json.Unmarshal(text, &list); err != nil {
			r.Faults = append(r.Faults, fmt.Sprintf("severity: %.40q cannot be read", string(text)))
			continue
		}
		for _, s := range list {
			var score string
			if json.Unmarshal(s.Score, &score) != nil {
				r.Faults = append(r.Faults, fmt.Sprintf("severity: score %.40q is no text", string(s.Score)))
				continue
			}
			level, err := levelOf(s.Type, score)
			if err != nil {
				r.Faults = append(r.Faults, fmt.Sprintf("severity: %v", err))
				continue
			}
			if level > r.Level {
				r.Level, r.Score = level, plain(score, maxVector)
			}
		}
	}
	var specific struct {
		Severity  json.RawMessage `json:"severity"`
		Exploited bool            `json:"exploited"`
		EPSS      json.RawMessage `json:"epss"`
		Notice    json.RawMessage `json:"notice"`
	}
	if isNull(database) || json.Unmarshal(database, &specific) != nil {
		return
	}
	r.Exploited = specific.Exploited
	var epss float64
	if json.Unmarshal(specific.EPSS, &epss) == nil && epss >= 0 && epss <= 1 {
		r.EPSS = epss
	}
	var notice Notice
	if json.Unmarshal(specific.Notice, &notice) == nil && slices.Contains(Notices(), notice) { // an unknown one stays a vulnerability: it is not hidden
		r.Notice = notice
	}
	var word string
	if r.Level == Unrated && json.Unmarshal(specific.Severity, &word) == nil {
		r.Level, r.Score = levelOfWord(word), plain(word, 40)
		if r.Level == Unrated {
			r.Score = ""
		}
	}
}

// levelOf returns the level of a severity of OSV.
func levelOf(kind, score string) (Level, error) {
	if len(score) > maxVector {
		return Unrated, fmt.Errorf("a score of %d bytes", len(score))
	}
	if kind == "Ubuntu" {
		return levelOfWord(score), nil
	}
	points, err := points(score)
	switch {
	case err != nil:
		return Unrated, fmt.Errorf("%.80q: %w", score, err)
	case points >= 9:
		return Critical, nil
	case points >= 7:
		return High, nil
	case points >= 4:
		return Medium, nil
	}
	return Low, nil
}

// points returns the base score of a CVSS vector. Its beginning tells its version, which the type in a record does not always.
func points(vector string) (float64, error) {
	switch {
	case strings.HasPrefix(vector, "CVSS:4.0/"):
		v, err := gocvss40.ParseVector(vector)
		if err != nil {
			return 0, err
		}
		return v.Score(), nil
	case strings.HasPrefix(vector, "CVSS:3.1/"):
		v, err := gocvss31.ParseVector(vector)
		if err != nil {
			return 0, err
		}
		return v.BaseScore(), nil
	case strings.HasPrefix(vector, "CVSS:3.0/"):
		v, err := gocvss30.ParseVector(vector)
		if err != nil {
			return 0, err
		}
		return v.BaseScore(), nil
	}
	v, err := gocvss20.ParseVector(vector)
	if err != nil {
		return 0, err
	}
	return v.BaseScore(), nil
}

func levelOfWord(word string) Level {
	switch strings.ToLower(word) {
	case "critical":
		return Critical
	case "high", "important":
		return High
	case "medium", "moderate":
		return Medium
	case "low", "negligible", "minor":
		return Low
	}
	return Unrated
}
