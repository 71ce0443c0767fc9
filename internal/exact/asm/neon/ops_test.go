package main

import "testing"

// The words are those of the GNU assembler for the instruction in the comment.
func TestEncodings(t *testing.T) {
	for name, want := range map[string]uint32{
		"fadd":   0x4e23d441, // fadd v1.4s, v2.4s, v3.4s
		"fsub":   0x4ea3d441,
		"fmul":   0x6e23dc41,
		"fdiv":   0x6e23fc41,
		"fmaxnm": 0x4e23c441,
		"fminnm": 0x4ea3c441,
		"fcmeq":  0x4e23e441,
		"fcmge":  0x6e23e441,
		"fcmgt":  0x6ea3e441,
		"cmge":   0x4ea33c41,
		"bic":    0x4e631c41, // bic v1.16b, v2.16b, v3.16b
	} {
		if got := encode3(ops3[name], 1, 2, 3); got != want {
			t.Errorf("%s: %08x, want %08x", name, got, want)
		}
	}
	for name, want := range map[string]uint32{
		"fabs":  0x4ea0fa51, // fabs v17.4s, v18.4s
		"fneg":  0x6ea0fa51,
		"fsqrt": 0x6ea1fa51,
	} {
		if got := encode2(ops2[name], 17, 18); got != want {
			t.Errorf("%s: %08x, want %08x", name, got, want)
		}
	}
	for _, c := range []struct{ got, want uint32 }{
		{encode3(ops3["fmul"], 31, 30, 29), 0x6e3ddfdf},
		{encodeMax(9, 20), 0x6e30ca89},             // fmaxnmv s9, v20.4s
		{encodeElement(1, 2, 3, 0), 0x4f831041},    // fmla v1.4s, v2.4s, v3.s[0]
		{encodeElement(1, 2, 3, 1), 0x4fa31041},    // fmla v1.4s, v2.4s, v3.s[1]
		{encodeElement(1, 2, 19, 2), 0x4f931841},   // fmla v1.4s, v2.4s, v19.s[2]
		{encodeElement(31, 30, 29, 3), 0x4fbd1bdf}, // fmla v31.4s, v30.4s, v29.s[3]
	} {
		if c.got != c.want {
			t.Errorf("%08x, want %08x", c.got, c.want)
		}
	}
}
