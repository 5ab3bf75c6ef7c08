package console

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/robustmq/robustmq-connect/plugins/connector"
)

// A chart is drawn on the server: lines in a box of so many units, which the browser
// stretches.
const (
	chartWide, chartHigh = 600, 120
	sparkWide, sparkHigh = 120, 24
	sparkPoints          = 40
)

// chart is one figure of the last hour.
type chart struct {
	Title, Now, Most string
	Line             string // the path of an SVG
	Says             string // the same for who does not see it
}

// line draws values that belong to times of the last hour.
func line(now time.Time, times []time.Time, values []float64, most, wide, high float64) string {
	var b strings.Builder
	pen := 'M'
	for i, v := range values {
		if math.IsNaN(v) {
			pen = 'M'
			continue
		}
		if i > 0 && times[i].Sub(times[i-1]) > 10*time.Minute {
			pen = 'M' // the machine slept
		}
		x := wide * (1 - float64(now.Sub(times[i]))/float64(kept))
		y := high - 1
		if most > 0 {
			y -= (high - 2) * v / most
		}
		fmt.Fprintf(&b, "%c%.1f %.1f", pen, x, y)
		pen = 'L'
	}
	return b.String()
}

func greatest(values []float64) (most float64) {
	for _, v := range values {
		most = max(most, v) // NaN is never greater
	}
	return most
}

func newChart(title string, now time.Time, times []time.Time, points []point, of func(point) float64, write func(float64) string) chart {
	values := make([]float64, len(points))
	for i, p := range points {
		values[i] = of(p)
	}
	c := chart{Title: title, Now: "no data yet"}
	if len(values) == 0 {
		c.Says = title + ": no data yet"
		return c
	}
	most := greatest(values)
	c.Now, c.Most = write(values[len(values)-1]), write(most)
	c.Line = line(now, times, values, most, chartWide, chartHigh)
	c.Says = fmt.Sprintf("%s over the last hour: now %s, at most %s", title, c.Now, c.Most)
	return c
}

func charts(now time.Time, times []time.Time, points []point) []chart {
	return []chart{
		newChart("Read from MQTT", now, times, points, func(p point) float64 { return float64(p.in) }, rate),
		newChart("Written to Kafka", now, times, points, func(p point) float64 { return float64(p.out) }, rate),
		newChart("Latency, mean", now, times, points, func(p point) float64 { return float64(p.latency) }, seconds),
		newChart("In flight", now, times, points, func(p point) float64 { return float64(p.inFlight) }, number),
		newChart("Oldest unacknowledged", now, times, points, func(p point) float64 { return float64(p.oldest) }, seconds),
		newChart("Refused by Kafka", now, times, points, func(p point) float64 { return float64(p.refused) }, rate),
	}
}

// spark is a small chart of what is written.
func spark(now time.Time, times []time.Time, points []point) string {
	if len(points) == 0 {
		return ""
	}
	every := (len(points) + sparkPoints - 1) / sparkPoints
	var at []time.Time
	var values []float64
	for from := 0; from < len(points); from += every {
		to := min(from+every, len(points))
		sum := 0.0
		for _, p := range points[from:to] {
			sum += float64(p.out)
		}
		at, values = append(at, times[to-1]), append(values, sum/float64(to-from))
	}
	return line(now, at, values, greatest(values), sparkWide, sparkHigh)
}

// stay is how long a connector was in one state.
type stay struct {
	State    connector.State
	From, To time.Time
	X, Wide  string // in a chart's box
	Now      bool
}

func (s stay) For() string { return seconds(s.To.Sub(s.From).Seconds()) }

// stays are the states of the last hour, the oldest first.
func stays(now time.Time, times []time.Time, points []point) []stay {
	var all []stay
	for i, p := range points {
		if p.state == 0 {
			continue
		}
		state := states[p.state-1]
		if n := len(all); n > 0 && all[n-1].State == state {
			all[n-1].To = times[i]
			continue
		}
		if n := len(all); n > 0 {
			all[n-1].To = times[i]
		}
		all = append(all, stay{State: state, From: times[i], To: times[i]})
	}
	for i := range all {
		s := &all[i]
		if i == len(all)-1 {
			s.To, s.Now = now, true
		}
		x := chartWide * max(0, 1-float64(now.Sub(s.From))/float64(kept))
		end := chartWide * max(0, 1-float64(now.Sub(s.To))/float64(kept))
		s.X, s.Wide = fmt.Sprintf("%.1f", x), fmt.Sprintf("%.1f", end-x)
	}
	return all
}
