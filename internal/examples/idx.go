package examples

import (
	"encoding/binary"
	"fmt"
)

// File is a file of a user with its name, which errors begin with.
type File struct {
	Name string
	Data []byte
}

// IDX files as LeCun's MNIST pages define them:
//
//	| 0 0 | 0x08 = unsigned byte | dimensions d | d sizes, u32 big-endian | bytes, row-major |
//
// d is 1 for labels, 3 for images (count, height, width), 4 for images with channels (count, height, width, channels).

// IsIDX reports whether data begins as an IDX file of unsigned bytes does.
func IsIDX(data []byte) bool {
	return len(data) >= 4 && data[0] == 0 && data[1] == 0 && data[2] == 8 && data[3] >= 1 && data[3] <= 4
}

// parseIDX returns the sizes and the bytes of an IDX file.
func parseIDX(f File) (sizes []int, body []byte, err error) {
	if len(f.Data) < 4 {
		return nil, nil, fmt.Errorf("%w: %s: %d bytes, the magic number of an IDX file has 4", ErrFormat, f.Name, len(f.Data))
	}
	if !IsIDX(f.Data) {
		return nil, nil, fmt.Errorf("%w: %s: byte 0: magic number %#08x, want 0x000008 and 1 to 4 dimensions: an IDX file of unsigned bytes", ErrFormat, f.Name, f.Data[:4])
	}
	d := int(f.Data[3])
	if len(f.Data) < 4+4*d {
		return nil, nil, fmt.Errorf("%w: %s: byte %d: the file ends inside its %d sizes", ErrFormat, f.Name, len(f.Data), d)
	}
	want := uint64(1)
	for i := range d {
		n := binary.BigEndian.Uint32(f.Data[4+4*i:])
		if n < 1 || uint64(n) > 1<<40/want {
			return nil, nil, fmt.Errorf("%w: %s: byte %d: size %d of dimension %d", ErrFormat, f.Name, 4+4*i, n, i)
		}
		want *= uint64(n)
		sizes = append(sizes, int(n))
	}
	body = f.Data[4+4*d:]
	if uint64(len(body)) != want {
		return nil, nil, fmt.Errorf("%w: %s: the header says %v, %d bytes from byte %d on; the file has %d there", ErrFormat, f.Name, sizes, want, 4+4*d, len(body))
	}
	return sizes, body, nil
}

// FromIDX joins pairs of image and label files, in the order of the arguments: the n-th labels belong to the n-th images.
func FromIDX(files []File, classes int) (*Raw, error) {
	r := &Raw{Classes: classes}
	var first string
	var images []File
	var counts []int
	labels := 0
	for _, f := range files {
		sizes, body, err := parseIDX(f)
		if err != nil {
			return nil, err
		}
		switch len(sizes) {
		case 1:
			if labels >= len(counts) || counts[labels] != sizes[0] {
				return nil, fmt.Errorf("%w: %s: byte 4: %d labels, for %s", ErrFormat, f.Name, sizes[0], pairing(images, counts, labels))
			}
			labels++
			for i, c := range body {
				if int(c) >= classes {
					return nil, fmt.Errorf("%w: %s: byte %d: label %d, the model has %d classes (model.outputs)", ErrFormat, f.Name, 8+i, c, classes)
				}
				r.Labels = append(r.Labels, int32(c))
			}
		case 2:
			return nil, fmt.Errorf("%w: %s: byte 3: 2 dimensions, want 1 for labels, 3 or 4 for images", ErrFormat, f.Name)
		default:
			s := append(sizes[1:], 1)
			if len(counts) == 0 {
				first, r.Height, r.Width, r.Channels = f.Name, s[0], s[1], s[2]
			}
			if s[0] != r.Height || s[1] != r.Width || s[2] != r.Channels {
				return nil, fmt.Errorf("%w: %s: byte 8: images of %d x %d x %d, those of %s have %d x %d x %d", ErrFormat, f.Name, s[0], s[1], s[2], first, r.Height, r.Width, r.Channels)
			}
			images, counts = append(images, f), append(counts, sizes[0])
			r.Count += sizes[0]
			r.Pixels = append(r.Pixels, body...)
		}
	}
	if len(counts) == 0 || labels != len(counts) {
		return nil, fmt.Errorf("%w: %d IDX files of images and %d of labels: want one of labels after each of images", ErrFormat, len(counts), labels)
	}
	return r, nil
}

// pairing says what labels file n should belong to.
func pairing(images []File, counts []int, n int) string {
	if n >= len(images) {
		return "no images before it"
	}
	return fmt.Sprintf("the %d images of %s", counts[n], images[n].Name)
}
