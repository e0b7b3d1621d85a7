package protocol

import "testing"

func TestAllows(t *testing.T) {
	for _, c := range []struct {
		may  []Right
		op   Op
		want bool
	}{
		{nil, OpStatus, false}, {Rights(), OpStatus, true}, {[]Right{RightRun}, OpRead, true}, {[]Right{RightRun}, OpRealize, false},
		{[]Right{RightBuild}, OpRealize, true}, {[]Right{RightBuild}, OpPlan, true}, {[]Right{RightRun}, OpPlan, false}, {[]Right{RightBuild}, OpDescribe, true}, {[]Right{RightBuild}, OpRead, false},
		{[]Right{RightGet}, OpGet, true}, {[]Right{RightGet}, OpDescribe, false}, {[]Right{RightGet}, OpPublished, true}, {[]Right{RightRun}, OpPublished, false}, {[]Right{RightUser}, OpPublished, true},
		{[]Right{RightUser}, OpRealize, true}, {[]Right{RightUser}, OpRead, true}, {[]Right{RightUser}, OpTrust, true}, {[]Right{RightUser}, OpStatus, true},
		{[]Right{RightUser}, OpKey, false}, {[]Right{RightUser}, OpGrant, false}, {[]Right{RightUser}, OpShare, false}, {[]Right{RightUser}, OpMesh, false},
		{[]Right{RightUser}, OpSwarm, false}, {[]Right{RightUser}, OpStop, false}, {[]Right{RightUser}, OpVerify, false}, {[]Right{RightUser}, "anything", false},
		// These calls are the node's own user's, whatever the rights.
		{Rights(), OpTrust, false}, {Rights(), OpShare, false}, {Rights(), OpKey, false}, {Rights(), OpSwarm, false},
		{Rights(), OpGrant, false}, {Rights(), OpStop, false}, {Rights(), OpVerify, false}, {Rights(), "anything", false},
	} {
		if got := Allows(c.may, c.op); got != c.want {
			t.Errorf("%v %s: got %v, want %v", c.may, c.op, got, c.want)
		}
	}
}
