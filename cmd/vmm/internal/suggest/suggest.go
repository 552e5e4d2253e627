// Package suggest finds what a user who mistyped a name may have meant.
package suggest

import (
	"fmt"
	"slices"
	"strings"
)

// Nearest returns the one of names that is nearest to word, or "" if none is
// near enough to be worth saying: at most one slip of the fingers for each
// three letters, or a beginning of the name.
func Nearest(word string, names []string) string {
	if len(word) > maxLength {
		return ""
	}
	best, least := "", max(1, len(word)/3)+1
	for _, name := range names {
		if d := distance(word, name); d < least {
			best, least = name, d
		}
	}
	if best == "" && len(word) >= 3 {
		for _, name := range names {
			if len(name) > len(word) && name[:len(word)] == word {
				return name
			}
		}
	}
	return best
}

// Check returns what is wrong with word if it is not one of choices.
func Check(word string, choices []string) error {
	if slices.Contains(choices, word) {
		return nil
	}
	list := strings.Join(choices, ", ")
	if near := Nearest(word, choices); near != "" {
		return fmt.Errorf("must be one of %s; did you mean %s?", list, near)
	}
	return fmt.Errorf("must be one of %s", list)
}

// maxLength bounds the work for a word that is no mistyped name anyway.
const maxLength = 64

// distance is the least number of bytes to insert, delete, replace or swap
// with their neighbour to make b of a (optimal string alignment).
func distance(a, b string) int {
	var before []int // the row for a[:i-1]
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		next := make([]int, len(b)+1)
		next[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			next[j] = min(row[j]+1, next[j-1]+1, row[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				next[j] = min(next[j], before[j-2]+1)
			}
		}
		before, row = row, next
	}
	return row[len(b)]
}
