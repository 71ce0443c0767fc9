package cuda

var libraryNames = []string{"libcuda.so.1"}
