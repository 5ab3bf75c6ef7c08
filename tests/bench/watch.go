package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/robustmq/robustmq-connect/plugins/connector/admin"
)

// consoleRefresh is how often the first page of the console asks for its connectors.
const consoleRefresh = 5 * time.Second

// watching is somebody who has the console open and tails a connector.
type watching struct {
	end              context.CancelFunc
	ended            sync.WaitGroup
	pages, tailed    int
	pageErr, tailErr error
}

func watch(ctx context.Context, listen, connector string) *watching {
	ctx, end := context.WithCancel(ctx)
	w := &watching{end: end}
	w.ended.Go(func() {
		jar, _ := cookiejar.New(nil) // it never fails
		client := &http.Client{Jar: jar}
		beat := time.NewTicker(consoleRefresh)
		defer beat.Stop()
		for refresh := ""; ; refresh = "live" { // the first page is whole, and gives a session
			if w.pageErr = w.page(ctx, client, "http://"+listen+"/console/", refresh); w.pageErr != nil {
				return
			}
			select {
			case <-beat.C:
			case <-ctx.Done():
				return
			}
		}
	})
	query := url.Values{"tenant": {"default"}, "connector_name": {connector}}
	w.ended.Go(func() { w.tailErr = w.tail(ctx, "http://"+listen+admin.PathTail+"?"+query.Encode()) })
	return w
}

func (w *watching) page(ctx context.Context, client *http.Client, address, refresh string) error {
	resp, err := get(ctx, client, address, refresh)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	w.pages++
	return err
}

func (w *watching) tail(ctx context.Context, address string) error {
	resp, err := get(ctx, http.DefaultClient, address, "")
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		if strings.HasPrefix(lines.Text(), "data:") {
			w.tailed++
		}
	}
	return lines.Err()
}

func get(ctx context.Context, client *http.Client, address, refresh string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	if refresh != "" {
		req.Header.Set("X-Refresh", refresh)
	}
	resp, err := client.Do(req)
	if err == nil && resp.StatusCode != http.StatusOK {
		_ = resp.Body.Close() // the status is all
		err = fmt.Errorf("%s answered %s", address, resp.Status)
	}
	return resp, err
}

// stop ends the watching. The error says that nothing was seen of the service.
func (w *watching) stop() error {
	w.end()
	w.ended.Wait()
	if w.pages < 2 || w.tailed == 0 {
		return fmt.Errorf("%d pages of the console and %d messages of a tail, want some of both: %w", w.pages, w.tailed, errors.Join(w.pageErr, w.tailErr))
	}
	return nil
}
