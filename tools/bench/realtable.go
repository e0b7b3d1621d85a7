package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// A figure is a row of the committed table.
type figure struct {
	row, value, unit string
	ratio            float64 // of a time, to the peer's in the same run; 0 is none
	peer             string  // not committed
}

// processor ends the names of figures of processor time.
const processor = ", processor"

// margin is the factor by which the ratio of a processor time may exceed the committed one. What is counted must be equal. Wall time is
// printed and not judged: between four runs with loads of 4 to 16 its ratios differed by a factor of 5, those of processor time by 1.5.
const margin = 2

// counted reports whether the value is the same on every machine.
func (f *figure) counted() bool { return f.unit != "s" }

// line is the row of the file.
func (f *figure) line() string {
	ratio := ""
	if f.ratio > 0 {
		ratio = fmt.Sprintf("%.2f", f.ratio)
	}
	return strings.Join([]string{f.row, f.value, f.unit, ratio}, "\t") + "\n"
}

const figureHead = "row\tvalue\tunit\tratio\n"

// parseFigures reads the committed table.
func parseFigures(text string) (list []figure, err error) {
	text, ok := strings.CutPrefix(text, figureHead)
	if !ok {
		return nil, fmt.Errorf("the first line is not %q", figureHead)
	}
	for line := range strings.Lines(text) {
		cells := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if len(cells) != 4 {
			return nil, fmt.Errorf("%q has %d cells, not 4", line, len(cells))
		}
		f := figure{row: cells[0], value: cells[1], unit: cells[2]}
		if cells[3] != "" {
			if f.ratio, err = strconv.ParseFloat(cells[3], 64); err != nil {
				return nil, fmt.Errorf("%q: %w", line, err)
			}
		}
		list = append(list, f)
	}
	return list, nil
}

// against compares a figure with the committed one, which is nil if there is none. It returns what to print beside it, and
// whether it is worse.
func (f *figure) against(was *figure) (committed, mark string, worse bool) {
	switch {
	case was == nil:
		return "", "NEW", true
	case f.counted() && f.value != was.value:
		return was.value, "DIFFERS", true
	case f.counted():
		return "the same", "", false
	case was.ratio == 0 || f.ratio == 0: // no peer, then or now
		return "", "", false
	case strings.HasSuffix(f.row, processor) && f.ratio > was.ratio*margin:
		return fmt.Sprintf("%.2f×", was.ratio), "WORSE", true
	}
	return fmt.Sprintf("%.2f×", was.ratio), "", false
}

// compareCommitted prints the figures beside the committed ones, or commits them. It fails when one is worse.
func (b *bench) compareCommitted(figures []figure) error {
	if b.update {
		text := figureHead
		for _, f := range figures {
			text += f.line()
		}
		if err := os.WriteFile(b.committed, []byte(text), 0o644); err != nil { //nolint:gosec // a page of the repository
			return err
		}
	}
	text, err := os.ReadFile(b.committed)
	if err != nil {
		return err
	}
	list, err := parseFigures(string(text))
	if err != nil {
		return fmt.Errorf("%s: %w", b.committed, err)
	}
	rows, worse := compareFigures(figures, list)
	b.builds = rows
	if worse > 0 {
		return fmt.Errorf("%d figures are worse than in %s", worse, b.committed)
	}
	return nil
}

// compareFigures returns the table of the figures beside the committed ones, and how many are worse. A row that is gone is worse.
func compareFigures(now, committed []figure) (rows table, worse int) {
	was := map[string]*figure{}
	for i := range committed {
		was[committed[i].row] = &committed[i]
	}
	for _, f := range now {
		beside, mark, bad := f.against(was[f.row])
		delete(was, f.row)
		if bad {
			worse++
		}
		ratio := ""
		if f.ratio > 0 {
			ratio = fmt.Sprintf("%.2f×", f.ratio)
		}
		rows.add(f.row, f.value+" "+f.unit, f.peer, ratio, beside, mark)
	}
	for _, f := range committed {
		if was[f.row] != nil {
			rows.add(f.row, "", "", "", f.value+" "+f.unit, "GONE")
			worse++
		}
	}
	return rows, worse
}
