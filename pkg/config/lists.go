package config

import (
	"errors"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// absolutePaths takes paths, one each time or several with commas between them. A comma that no path follows is part of one.
func absolutePaths(to *[]string) value {
	return value{placeholder: "path", list: true, set: func(s string) error {
		if !filepath.IsAbs(s) {
			return errors.New("an absolute path")
		}
		for _, path := range strings.Split(s[1:], ",/") {
			*to = append(*to, "/"+path)
		}
		return nil
	}}
}

// exitCodes takes exit codes, one each time or several with commas between them; "" is none.
func exitCodes(to *[]int) value {
	const most = 255
	return value{placeholder: "codes", list: true, set: func(s string) error {
		for word := range strings.SplitSeq(s, ",") {
			if s == "" {
				break
			}
			code, err := strconv.Atoi(word)
			if err != nil || code < 0 || code > most {
				return errors.New("exit codes from 0 to 255, such as 0 or 1,3")
			}
			*to = append(*to, code)
		}
		return nil
	}}
}

// common is a code that is in both lists, as a text; "" if none is.
func common(a, b []int) string {
	for _, code := range a {
		if slices.Contains(b, code) {
			return strconv.Itoa(code)
		}
	}
	return ""
}
