package commands

// What tests from outside compare with the world.
var (
	StandardLibrary = standardLibrary
	StandardFolders = standardFolders
	FromRelease     = fromRelease
)

// RenderProject renders a new project as startproject does.
func RenderProject(name string, framework frameworkModule) (map[string]string, error) {
	files, err := render(projectFiles, scaffoldData{Name: name, Title: titled(name), Module: name, Framework: framework})
	texts := make(map[string]string)
	for _, file := range files {
		texts[file.path] = string(file.text)
	}
	return texts, err
}
