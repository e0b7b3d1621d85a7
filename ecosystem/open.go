package ecosystem

import (
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/nuon"
)

// Name is the name of the environment of a recording and its files, and of an open recording.
const Name = "recording"

// Open returns the description of the recording that is yet to be made at a path of an evaluation, of the requests of an ecosystem's clients, such as pip. A build that has it as its recording
// runs only while nuka records.
func Open(at, ecosystem string, door Door) *pir.PIR {
	return &pir.PIR{Kind: pir.Data, Name: Name, Data: nuon.Record{"open": ecosystem, "door": string(door), "at": at}}
}

// Opened returns the ecosystem and the door of an open recording. ok is false if p is none.
func Opened(p *pir.PIR) (ecosystem string, door Door, ok bool) {
	rec, _ := p.Data.(nuon.Record)
	ecosystem, ok = rec["open"].(string)
	text, _ := rec["door"].(string)
	return ecosystem, Door(text), ok && p.Kind == pir.Data && p.Name == Name
}
