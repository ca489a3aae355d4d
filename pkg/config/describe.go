package config

// Section is a heading of the options and what is below it.
type Section struct {
	Title   string
	Options []Option
}

// Option describes one option to programs that make something of the table: the chart, the docs.
type Option struct {
	// Name and Alias are names of the flag, without dashes; Alias may be "".
	Name, Alias string
	// Variable is the environment variable.
	Variable string
	// Placeholder says what it takes, such as "duration" or "abort|delete"; "" is for one that is true or false.
	Placeholder string
	// Default is the default in words; Meaning a whole sentence.
	Default, Meaning string
	// List: every value given counts, not only the last.
	List bool
	// Required: without it, the agent doesn't start.
	Required bool
	// Secret: the value is never shown.
	Secret bool
	// TakesEmpty: the empty text is a value that means something.
	TakesEmpty bool
}

// Describe lists all options, in the order of the help.
func Describe() []Section {
	var all []Section
	for _, g := range options(&Config{}) {
		s := Section{Title: g.title}
		for _, o := range g.options {
			s.Options = append(s.Options, Option{
				Name: o.name, Alias: o.alias, Variable: variable("REBOOTD_", o.name), Placeholder: o.value.placeholder,
				Default: o.defaultText(), Meaning: o.meaning, List: o.value.list, Required: o.required, Secret: o.secret,
				TakesEmpty: o.value.set("") == nil,
			})
		}
		all = append(all, s)
	}
	return all
}
