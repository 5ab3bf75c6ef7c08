package console

import (
	"fmt"
	"math"
	"net/url"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/robustmq/robustmq-connect/plugins/connector"
)

func urlEscape(text string) string { return url.QueryEscape(text) }

// rate writes messages per second.
func rate(v float64) string {
	switch {
	case v == 0:
		return "0/s"
	case v < 10:
		return fmt.Sprintf("%.2g/s", v)
	}
	return humanize.Comma(int64(math.Round(v))) + "/s"
}

func number(v float64) string { return humanize.Comma(int64(math.Round(v))) }

// seconds writes a time that something took.
func seconds(v float64) string {
	switch {
	case v <= 0:
		return "0 s"
	case v < 1:
		return fmt.Sprintf("%.3g ms", v*1000)
	case v < 60:
		return fmt.Sprintf("%.2g s", v)
	case v < 3600:
		return fmt.Sprintf("%d min %d s", int(v)/60, int(v)%60)
	}
	return fmt.Sprintf("%d h %d min", int(v)/3600, int(v)/60%60)
}

// ageText is a duration as people say it.
func ageText(d time.Duration) string { return seconds(d.Seconds()) }

func clock(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return t.Format("2006-01-02 15:04:05 MST")
}

// visible writes text from outside so that the page shows it as it is: what would be
// hidden, or would turn the text around, stands as its number. Lines and tabs stay.
func visible(text string) string {
	if !strings.ContainsFunc(text, func(r rune) bool { return connector.Hidden(r) && r != '\n' && r != '\t' }) {
		return text
	}
	var b strings.Builder
	for _, r := range text {
		if connector.Hidden(r) && r != '\n' && r != '\t' {
			fmt.Fprintf(&b, "⟨U+%04X⟩", r)
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
}

// short cuts what is too long for a page.
func short(most int, text string) string {
	runes := 0
	for i := range text {
		if runes == most {
			return fmt.Sprintf("%s… (%s characters in all)", text[:i], humanize.Comma(int64(len([]rune(text)))))
		}
		runes++
	}
	return text
}
