//go:build windows || (linux && !cgo)

package gpu

func load() (library, error) { return loadShared(nvmlNames...) }
