package factum;

import io.kurrent.dbclient.*;
import java.io.IOException;
import java.net.ServerSocket;
import java.net.Socket;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.*;
import java.util.concurrent.*;

/** The program in FACTUM_BINARY over a directory of its own; it does not outlive this process. */
final class Server implements AutoCloseable {
    // Kills the program when the pipe from this process closes, however this process ends.
    private static final String WATCH = "\"$@\" & child=$!; read -r signal; kill -s \"${signal:-KILL}\" $child; wait $child; exit $?";
    final int port;
    final Path directory;
    private final List<String> arguments;
    private final List<KurrentDBClient> clients = new ArrayList<>();
    private Process process;

    Server(String... arguments) throws Exception {
        this.arguments = arguments.length == 0 ? List.of("--insecure") : List.of(arguments);
        directory = Files.createTempDirectory(Path.of(System.getenv("FACTUM_DIRECTORY")), "store-");
        try (ServerSocket probe = new ServerSocket(0)) {
            port = probe.getLocalPort();
        }
        start();
    }

    /** On the same port and directory as before; waits until it listens. */
    void start() throws Exception {
        List<String> words = new ArrayList<>(List.of("sh", "-c", WATCH, "sh", System.getenv("FACTUM_BINARY"), "serve"));
        words.addAll(arguments);
        words.addAll(List.of("--listen", "127.0.0.1:" + port, "--data", directory.toString()));
        Path log = directory.resolveSibling(directory.getFileName() + ".log");
        process = new ProcessBuilder(words).redirectErrorStream(true).redirectOutput(ProcessBuilder.Redirect.appendTo(log.toFile())).start();
        for (int round = 0; ; round++) {
            try (Socket socket = new Socket("127.0.0.1", port)) {
                return;
            } catch (IOException error) {
                if (round > 1000 || !process.isAlive()) throw new IllegalStateException("the server does not listen; see " + log, error);
                Thread.sleep(50);
            }
        }
    }

    /** Sends a signal, waits for the end, and gives the exit code. */
    int end(String signal) throws Exception {
        try (var pipe = process.getOutputStream()) {
            pipe.write((signal + "\n").getBytes());
        }
        if (!process.waitFor(40, TimeUnit.SECONDS)) throw new IllegalStateException("the server does not stop on " + signal);
        return process.exitValue();
    }

    KurrentDBClient client() {
        return connect("kurrentdb://127.0.0.1:" + port + "?tls=false");
    }

    KurrentDBClient connect(String text) {
        KurrentDBClient client = KurrentDBClient.create(KurrentDBConnectionString.parseOrThrow(text));
        clients.add(client);
        return client;
    }

    @Override
    public void close() throws Exception {
        // Each takes five seconds while it still follows something.
        List<CompletableFuture<Void>> ends = clients.stream().map(KurrentDBClient::shutdown).toList();
        for (CompletableFuture<Void> end : ends) end.get(20, TimeUnit.SECONDS);
        if (process.isAlive()) end("TERM");
    }

    static String fresh(String category) {
        return category + "-" + UUID.randomUUID().toString().replace("-", "");
    }

    static EventData[] events(String... types) {
        return Arrays.stream(types)
            .map(type -> EventDataBuilder.json(type, "{\"a\":1}".getBytes()).metadataAsBytes("{\"m\":\"1\"}".getBytes()).build())
            .toArray(EventData[]::new);
    }

    static <T> T get(CompletableFuture<T> future) throws Exception {
        return future.get(30, TimeUnit.SECONDS);
    }

    /** What the client makes of a refusal. */
    static <E extends Throwable> E refused(Class<E> kind, CompletableFuture<?> future) throws Exception {
        try {
            Object answer = get(future);
            throw new AssertionError("wanted " + kind.getSimpleName() + ", got " + answer);
        } catch (ExecutionException error) {
            if (kind.isInstance(error.getCause())) return kind.cast(error.getCause());
            throw new AssertionError("wanted " + kind.getSimpleName() + ", got " + error.getCause(), error.getCause());
        }
    }

    /** What a refusal without a class of its own says. */
    static io.grpc.Status.Code code(CompletableFuture<?> future) throws Exception {
        return refused(io.grpc.StatusRuntimeException.class, future).getStatus().getCode();
    }

    /** This client has a class for it in calls with one answer, and in reads and subscriptions the status as it came. */
    static void deleted(String stream, CompletableFuture<?> future) throws Exception {
        deleted(stream, refused(RuntimeException.class, future));
    }

    static void deleted(String stream, Throwable error) {
        if (error instanceof StreamDeletedException known && known.getStreamName().equals(stream)) return;
        if (!String.valueOf(error.getMessage()).equals("FAILED_PRECONDITION: Event stream '" + stream + "' is deleted.")) {
            throw new AssertionError("not that the stream is deleted: " + error, error);
        }
    }

    static String numbers(ReadResult result) {
        return String.join(" ", result.getEvents().stream().map(each -> "" + each.getOriginalEvent().getRevision()).toList());
    }

    record CaughtUp(Long revision, Position position) {}

    /** Takes down what a subscription gives. */
    static class Seen extends SubscriptionListener {
        final BlockingQueue<ResolvedEvent> events = new LinkedBlockingQueue<>();
        final CompletableFuture<Throwable> end = new CompletableFuture<>();
        final CountDownLatch caughtUp = new CountDownLatch(1);
        final CompletableFuture<CaughtUp> caughtUpAt = new CompletableFuture<>();

        @Override
        public void onEvent(Subscription subscription, ResolvedEvent event) {
            events.add(event);
        }

        @Override
        public void onCancelled(Subscription subscription, Throwable error) {
            end.complete(error == null ? new CancellationException() : error);
        }

        @Override
        public void onCaughtUp(Subscription subscription, java.time.Instant at, Long revision, Position position) {
            caughtUpAt.complete(new CaughtUp(revision, position));
            caughtUp.countDown();
        }

        String next() throws Exception {
            ResolvedEvent event = events.poll(20, TimeUnit.SECONDS);
            if (event == null) throw new AssertionError("no event within 20 s; ended: " + end.getNow(null));
            return event.getEvent().getEventType();
        }

        /** The types of what came until now. */
        String soFar() {
            List<ResolvedEvent> found = new ArrayList<>();
            events.drainTo(found);
            return String.join(" ", found.stream().map(each -> each.getEvent().getEventType()).toList());
        }
    }
}
