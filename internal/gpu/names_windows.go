package gpu

// Older drivers keep the library in their own directory alone.
var nvmlNames = []string{"nvml.dll", `C:\Program Files\NVIDIA Corporation\NVSMI\nvml.dll`}
