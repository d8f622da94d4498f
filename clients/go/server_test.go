// Package clients runs the official Go client against a server.
package clients

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
	db "github.com/kurrent-io/KurrentDB-Client-Go/kurrentdb"
)

// server is the program in FACTUM_BINARY over a directory of its own; it does not outlive this process.
type server struct {
	port      int
	directory string
	arguments []string
	process   *exec.Cmd
	pipe      io.WriteCloser
	log       *strings.Builder
}

// watch starts the program, and kills it when the pipe from this process closes, however this process ends.
const watch = `"$@" & child=$!; read -r signal; kill -s "${signal:-KILL}" $child; wait $child; exit $?`

func serve(t *testing.T, arguments ...string) *server {
	t.Helper()
	if os.Getenv("FACTUM_BINARY") == "" {
		t.Fatal("FACTUM_BINARY names no program; run `cargo xtask clients`")
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	port := listener.Addr().(*net.TCPAddr).Port
	must(t, listener.Close())
	directory, err := os.MkdirTemp(os.Getenv("FACTUM_DIRECTORY"), "store-")
	must(t, err)
	if len(arguments) == 0 {
		arguments = []string{"--insecure"}
	}
	made := &server{port: port, directory: directory, arguments: arguments}
	made.start(t)
	t.Cleanup(func() { made.end("TERM") })
	return made
}

// start starts it on the same port and directory as before, and waits until it listens.
func (s *server) start(t *testing.T) {
	t.Helper()
	words := []string{"-c", watch, "sh", os.Getenv("FACTUM_BINARY"), "serve"}
	words = append(words, s.arguments...)
	words = append(words, "--listen", fmt.Sprintf("127.0.0.1:%d", s.port), "--data", s.directory)
	s.process, s.log = exec.Command("sh", words...), &strings.Builder{}
	s.process.Stdout, s.process.Stderr = s.log, s.log
	pipe, err := s.process.StdinPipe()
	must(t, err)
	s.pipe = pipe
	must(t, s.process.Start())
	for end := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		connection, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", s.port))
		if err == nil {
			_ = connection.Close()
			return
		}
		if s.process.ProcessState != nil || time.Now().After(end) {
			t.Fatalf("the server does not listen: %v\n%s", err, s.log)
		}
	}
}

// end sends it a signal, waits for it, and gives its exit code.
func (s *server) end(signal string) int {
	if s.pipe == nil {
		return 0
	}
	_, _ = io.WriteString(s.pipe, signal+"\n")
	_ = s.pipe.Close()
	s.pipe = nil
	_ = s.process.Wait()
	status := s.process.ProcessState.Sys().(syscall.WaitStatus)
	return status.ExitStatus()
}

func connect(t *testing.T, text string) *db.Client {
	t.Helper()
	settings, err := db.ParseConnectionString(text)
	must(t, err)
	settings.Logger = func(db.LogLevel, string, ...interface{}) {}
	client, err := db.NewClient(settings)
	must(t, err)
	t.Cleanup(func() { _ = client.Close() })
	return client
}

func plain(t *testing.T, s *server) *db.Client {
	return connect(t, fmt.Sprintf("kurrentdb://127.0.0.1:%d?tls=false", s.port))
}

func secure(t *testing.T, s *server, who string) *db.Client {
	return connect(t, fmt.Sprintf("kurrentdb://%s127.0.0.1:%d?tlsCAFile=%s", who, s.port, filepath.Join(s.directory, "..", "go-ca.pem")))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func equal[T comparable](t *testing.T, got, wanted T) {
	t.Helper()
	if got != wanted {
		t.Fatalf("got %v, wanted %v", got, wanted)
	}
}

// refused says whether the client knows the error by this code.
func refused(t *testing.T, err error, code db.ErrorCode) {
	t.Helper()
	var known *db.Error
	if !errors.As(err, &known) {
		t.Fatalf("no error of the client's, wanted code %d: %v", code, err)
	}
	// Some of its errors are wrapped in one without a code.
	if inner, ok := known.Err().(*db.Error); ok && known.Code() == db.ErrorCodeUnknown {
		known = inner
	}
	if !known.IsErrorCode(code) {
		t.Fatalf("code %d, wanted %d: %v", known.Code(), code, err)
	}
}

func fresh(category string) string {
	return category + "-" + strings.ReplaceAll(uuid.NewString(), "-", "")
}

func events(types ...string) []db.EventData {
	var made []db.EventData
	for _, name := range types {
		made = append(made, db.EventData{EventID: uuid.New(), EventType: name, ContentType: db.ContentTypeJson, Data: []byte(`{"a":1}`), Metadata: []byte(`{"m":1}`)})
	}
	return made
}

func soon(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func appendTo(t *testing.T, client *db.Client, stream string, state db.StreamState, types ...string) *db.WriteResult {
	t.Helper()
	done, err := client.AppendToStream(soon(t), stream, db.AppendToStreamOptions{StreamState: state}, events(types...)...)
	must(t, err)
	return done
}

// asked asks again where the server refused before everything was sent: then this client loses why, and says EOF.
func asked(call func() error) error {
	err := call()
	for round := 0; round < 100 && err != nil && strings.HasSuffix(err.Error(), "EOF"); round++ {
		err = call()
	}
	return err
}

// tried is an append that may be refused at once.
func tried(t *testing.T, client *db.Client, stream string, options db.AppendToStreamOptions) error {
	return asked(func() error {
		_, err := client.AppendToStream(soon(t), stream, options, events("X")...)
		return err
	})
}

func drain(stream *db.ReadStream, err error) ([]*db.ResolvedEvent, error) {
	if err != nil {
		return nil, err
	}
	defer stream.Close()
	var found []*db.ResolvedEvent
	for {
		event, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return found, nil
		}
		if err != nil {
			return nil, err
		}
		found = append(found, event)
	}
}

func read(t *testing.T, client *db.Client, stream string, options db.ReadStreamOptions) ([]*db.ResolvedEvent, error) {
	return drain(client.ReadStream(soon(t), stream, options, 100_000))
}

func all(t *testing.T, client *db.Client, options db.ReadAllOptions) ([]*db.ResolvedEvent, error) {
	return drain(client.ReadAll(soon(t), options, 100_000))
}

func numbers(found []*db.ResolvedEvent) string {
	var words []string
	for _, each := range found {
		words = append(words, fmt.Sprint(each.OriginalEvent().EventNumber))
	}
	return strings.Join(words, " ")
}

// next gives the next events of a subscription, and passes over checkpoints and the like.
func next(t *testing.T, subscription *db.Subscription, count int) []*db.ResolvedEvent {
	t.Helper()
	type seen struct {
		found []*db.ResolvedEvent
		err   error
	}
	got := make(chan seen, 1)
	go func() {
		var found []*db.ResolvedEvent
		for len(found) < count {
			event := subscription.Recv()
			if event.SubscriptionDropped != nil {
				got <- seen{found, event.SubscriptionDropped.Error}
				return
			}
			if event.EventAppeared != nil {
				found = append(found, event.EventAppeared)
			}
		}
		got <- seen{found, nil}
	}()
	select {
	case all := <-got:
		must(t, all.err)
		return all.found
	case <-time.After(20 * time.Second):
		t.Fatalf("no %d events within 20 s", count)
		return nil
	}
}
