package cuda

var libraryNames = []string{"nvcuda.dll"}
