package factum;

import static factum.Server.*;
import static org.junit.jupiter.api.Assertions.*;

import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.kurrent.dbclient.*;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.*;
import java.util.concurrent.*;
import java.util.function.Function;
import org.junit.jupiter.api.*;

class AuthTest {
    @Test
    void whoMayDoWhat() throws Exception {
        Path ca = Path.of(System.getenv("FACTUM_DIRECTORY"), "java-ca.pem");
        try (Server server = new Server("--dev", "--write-ca", ca.toString())) {
            String end = "localhost:" + server.port + "?tlsCaFile=" + ca;
            KurrentDBClient admin = server.connect("kurrentdb://admin:changeit@" + end);
            KurrentDBClient ops = server.connect("kurrentdb://ops:changeit@" + end);
            KurrentDBClient nobody = server.connect("kurrentdb://" + end);
            String stream = fresh("java");
            get(admin.appendToStream(stream, events("A")));
            get(ops.readStream(stream, ReadStreamOptions.get()));
            assertEquals(Status.Code.UNAUTHENTICATED, code(nobody.appendToStream(stream, events("X"))));
            assertEquals(Status.Code.UNAUTHENTICATED, code(server.connect("kurrentdb://admin:wrong@" + end).appendToStream(stream, events("X"))));
            assertEquals(Status.Code.PERMISSION_DENIED, code(ops.readAll()));
            StreamMetadata set = new StreamMetadata();
            set.setAcl(Acls.newStreamAcl().addReadRoles("admin").addWriteRoles("admin"));
            get(admin.setStreamMetadata(stream, set));
            assertEquals(Status.Code.PERMISSION_DENIED, code(ops.appendToStream(stream, events("X"))));
            assertEquals(Status.Code.PERMISSION_DENIED, code(ops.readStream(stream, ReadStreamOptions.get())));
            get(ops.readStream(stream, ReadStreamOptions.get().authenticated("admin", "changeit")));
            KurrentDBClient found = server.connect("kurrentdb+discover://admin:changeit@" + end);
            get(found.appendToStream(stream, events("B")));
        }
    }

    @Test
    void wrongAuthority() throws Exception {
        Path directory = Path.of(System.getenv("FACTUM_DIRECTORY"));
        Path own = directory.resolve("java-ca-own.pem"), other = directory.resolve("java-ca-other.pem");
        try (Server server = new Server("--dev", "--write-ca", own.toString()); Server second = new Server("--dev", "--write-ca", other.toString())) {
            String text = "kurrentdb://admin:changeit@localhost:%d?maxDiscoverAttempts=1&tlsCaFile=%s";
            String stream = fresh("java");
            var error = refused(Throwable.class, server.connect(text.formatted(server.port, other)).appendToStream(stream, events("A")));
            // It gives up the connection, and does not say why.
            assertInstanceOf(ConnectionShutdownException.class, error);
            refused(StreamNotFoundException.class, server.connect(text.formatted(server.port, own)).readStream(stream, ReadStreamOptions.get()));
            get(second.connect(text.formatted(second.port, other)).appendToStream(stream, events("A")));
        }
    }

    static final Status.Code OK = Status.Code.OK, UNKNOWN = Status.Code.UNAUTHENTICATED, DENIED = Status.Code.PERMISSION_DENIED;
    static final List<Status.Code> ADMINS = List.of(UNKNOWN, DENIED, DENIED, OK), OPERATORS = List.of(UNKNOWN, DENIED, OK, OK), USERS = List.of(UNKNOWN, OK, OK, OK);

    /** A server with users: the client of an administrator, and that of nobody in particular. */
    static final class Guarded implements AutoCloseable {
        final Path ca = Path.of(System.getenv("FACTUM_DIRECTORY"), "java-ca-" + fresh("of") + ".pem");
        final Server server;
        final KurrentDBClient nobody, anna, ops, admin;

        Guarded(String... arguments) throws Exception {
            List<String> words = new ArrayList<>(List.of("--dev", "--write-ca", ca.toString()));
            words.addAll(List.of(arguments));
            server = new Server(words.toArray(String[]::new));
            admin = as("admin:changeit@");
            nobody = as("");
            ops = as("ops:changeit@");
            anna = as("anna:changeit@");
            // This client has no calls for users: anna, who is in no group, is made of what is stored of ops, with the same password.
            String stored = new String(get(admin.readStream("$user-ops", ReadStreamOptions.get())).getEvents().get(0).getEvent().getEventData());
            String made = stored.replace("\"loginName\":\"ops\"", "\"loginName\":\"anna\"").replace("\"$ops\"", "");
            get(admin.appendToStream("$user-anna", EventDataBuilder.json("$UserCreated", made.getBytes()).build()));
        }

        KurrentDBClient as(String who) {
            return server.connect("kurrentdb://" + who + "localhost:" + server.port + "?tlsCaFile=" + ca);
        }

        /** What each caller is told of a call: nobody in particular, a user, a member of $ops and an administrator. */
        void judged(String what, List<Status.Code> wanted, Function<KurrentDBClient, CompletableFuture<?>> call) throws Exception {
            List<Status.Code> found = new ArrayList<>();
            for (KurrentDBClient each : List.of(nobody, anna, ops, admin)) found.add(told(call.apply(each)));
            assertEquals(wanted, found, what);
        }

        @Override
        public void close() throws Exception {
            server.close();
            Files.deleteIfExists(ca);
        }
    }

    /** The status that is at the bottom of an error; some calls wrap it. */
    static Status.Code told(CompletableFuture<?> future) throws Exception {
        try {
            get(future);
            return OK;
        } catch (ExecutionException error) {
            for (Throwable cause = error; cause != null; cause = cause.getCause()) {
                if (cause instanceof StatusRuntimeException status) return status.getStatus().getCode();
            }
            throw error;
        }
    }

    /** Leaves as soon as it is let in. */
    static CompletableFuture<?> left(CompletableFuture<PersistentSubscription> joined) {
        return joined.thenAccept(PersistentSubscription::stop);
    }

    @Test
    void groups() throws Exception {
        try (Guarded all = new Guarded()) {
            String stream = fresh("java"), listed = fresh("java");
            var admin = KurrentDBPersistentSubscriptionsClient.from(all.admin);
            for (String each : List.of(stream, listed, "$mine")) {
                get(all.admin.appendToStream(each, events("A")));
                get(admin.createToStream(each, "group"));
            }
            get(admin.createToAll("group"));
            StreamMetadata set = new StreamMetadata();
            set.setAcl(Acls.newStreamAcl().addReadRoles("$ops"));
            get(all.admin.setStreamMetadata(listed, set));
            for (String each : List.of(stream, listed)) {
                all.judged("create", OPERATORS, client -> of(client).createToStream(each, fresh("group"), CreatePersistentSubscriptionToStreamOptions.get()));
            }
            all.judged("create of all", OPERATORS, client -> of(client).createToAll(fresh("group"), CreatePersistentSubscriptionToAllOptions.get()));
            all.judged("update", OPERATORS, client -> of(client).updateToStream(stream, "group", UpdatePersistentSubscriptionToStreamOptions.get()));
            for (var each : Map.of(stream, USERS, listed, OPERATORS, "$mine", ADMINS).entrySet()) {
                all.judged("consume " + each.getKey(), each.getValue(), client ->
                    left(of(client).subscribeToStream(each.getKey(), "group", SubscribePersistentSubscriptionOptions.get(), new PersistentTest.Consumer())));
            }
            all.judged("consume of all", ADMINS, client ->
                left(of(client).subscribeToAll("group", SubscribePersistentSubscriptionOptions.get(), new PersistentTest.Consumer())));
            all.judged("info", USERS, client -> of(client).getInfoToStream(stream, "group", GetPersistentSubscriptionInfoOptions.get()));
            all.judged("list", USERS, client -> of(client).listAll(ListPersistentSubscriptionsOptions.get()));
            all.judged("replay", OPERATORS, client -> of(client).replayParkedMessagesToStream(stream, "group", ReplayParkedMessagesOptions.get()));
            all.judged("restart", OPERATORS, client -> of(client).restartSubsystem(RestartPersistentSubscriptionSubsystemOptions.get()));
            assertEquals(UNKNOWN, told(of(all.nobody).deleteToStream(stream, "group")));
            assertEquals(DENIED, told(of(all.anna).deleteToStream(stream, "group")));
            assertEquals(OK, told(of(all.ops).deleteToStream(stream, "group")));
        }
    }

    static KurrentDBPersistentSubscriptionsClient of(KurrentDBClient client) {
        return KurrentDBPersistentSubscriptionsClient.from(client);
    }

    /** The calls that a list of a stream has a say in. */
    static Map<String, Function<KurrentDBClient, CompletableFuture<?>>> calls(String stream) {
        return Map.of(
            "read", client -> client.readStream(stream, ReadStreamOptions.get()),
            "follow", client -> client.subscribeToStream(stream, new Seen(), SubscribeToStreamOptions.get()).thenAccept(Subscription::stop),
            "append", client -> client.appendToStream(stream, AppendToStreamOptions.get(), events("X")),
            "metadata", client -> client.getStreamMetadata(stream, ReadStreamOptions.get()),
            "set metadata", client -> client.setStreamMetadata(stream, AppendToStreamOptions.get(), new StreamMetadata()),
            "delete", client -> client.deleteStream(stream, DeleteStreamOptions.get()),
            "tombstone", client -> client.tombstoneStream(stream, DeleteStreamOptions.get()));
    }

    @Test
    void lists() throws Exception {
        try (Guarded all = new Guarded()) {
            String closed = fresh("java"), open = fresh("java");
            for (String stream : List.of(closed, open)) get(all.admin.appendToStream(stream, events("A")));
            StreamMetadata set = new StreamMetadata();
            set.setAcl(Acls.newStreamAcl().addReadRoles("admin").addWriteRoles("admin").addDeleteRoles("admin").addMetaReadRoles("admin").addMetaWriteRoles("admin"));
            get(all.admin.setStreamMetadata(closed, set));
            for (var call : calls(closed).entrySet()) {
                for (KurrentDBClient each : List.of(all.anna, all.ops)) assertEquals(DENIED, told(call.getValue().apply(each)), call.getKey());
            }
            KurrentDBClient wrong = all.as("admin:wrong@");
            for (var call : calls(open).entrySet()) {
                assertEquals(UNKNOWN, told(call.getValue().apply(all.nobody)), call.getKey());
                assertEquals(UNKNOWN, told(call.getValue().apply(wrong)), call.getKey());
            }
            assertEquals("0", numbers(get(all.admin.readStream(closed, ReadStreamOptions.get()))));
            // Credentials of a call go before those of the client.
            assertEquals(UNKNOWN, told(all.admin.readStream(open, ReadStreamOptions.get().authenticated("admin", "wrong"))));
            assertEquals(OK, told(all.nobody.readStream(closed, ReadStreamOptions.get().authenticated("admin", "changeit"))));
            // Each right by a name, a group, or everybody.
            set.setAcl(Acls.newStreamAcl().addReadRoles("$all").addWriteRoles("anna", "nobody").addDeleteRoles("$ops"));
            get(all.admin.setStreamMetadata(open, set));
            all.judged("read", USERS, calls(open).get("read"));
            all.judged("append", List.of(UNKNOWN, OK, DENIED, OK), calls(open).get("append"));
            assertEquals(DENIED, told(calls(open).get("delete").apply(all.anna)));
            assertEquals(OK, told(calls(open).get("delete").apply(all.ops)));
        }
    }

    @Test
    void whatIsTheSystems() throws Exception {
        try (Guarded all = new Guarded()) {
            get(all.admin.appendToStream("javaauth-1", events("Happened")));
            all.judged("read $all", ADMINS, client -> client.readAll(ReadAllOptions.get().maxCount(1)));
            all.judged("follow $all", ADMINS, client -> client.subscribeToAll(new Seen(), SubscribeToAllOptions.get()).thenAccept(Subscription::stop));
            all.judged("append $mine", ADMINS, calls("$mine").get("append"));
            for (String stream : List.of("$mine", "$users", "$user-admin", "$et-$UserCreated")) all.judged("read " + stream, ADMINS, calls(stream).get("read"));
            for (String stream : List.of("$ce-javaauth", "$et-Happened", "$streams")) all.judged("read " + stream, USERS, calls(stream).get("read"));
            // A link is shown, and what it points to only to those who may read that.
            StreamMetadata set = new StreamMetadata();
            set.setAcl(Acls.newStreamAcl().addReadRoles("$ops"));
            get(all.admin.setStreamMetadata("javaauth-1", set));
            for (KurrentDBClient each : List.of(all.anna, all.ops)) {
                ResolvedEvent found = get(each.readStream("$ce-javaauth", ReadStreamOptions.get().resolveLinkTos())).getEvents().get(0);
                assertEquals("$ce-javaauth", found.getLink().getStreamId());
                assertEquals(each == all.ops, found.getEvent() != null);
            }
            var users = get(all.admin.readStream("$users", ReadStreamOptions.get())).getEvents();
            assertEquals(List.of("admin", "ops"), users.stream().map(each -> new String(each.getEvent().getEventData())).toList());
        }
    }

    @Test
    void settings() throws Exception {
        try (Guarded all = new Guarded()) {
            String stream = fresh("java");
            get(all.admin.appendToStream(stream, events("A")));
            String settings = "{\"$userStreamAcl\":{\"$r\":\"$ops\",\"$w\":[\"anna\"]},\"$systemStreamAcl\":{\"$r\":\"anna\"}}";
            get(all.admin.appendToStream("$settings", EventDataBuilder.json("update-default-acl", settings.getBytes()).build()));
            List<Status.Code> anna = List.of(UNKNOWN, OK, DENIED, OK);
            all.judged("read", OPERATORS, calls(stream).get("read"));
            all.judged("append", anna, calls(stream).get("append"));
            all.judged("read $users", anna, calls("$users").get("read"));
            // A list of the stream's own goes before.
            StreamMetadata set = new StreamMetadata();
            set.setAcl(Acls.newStreamAcl().addReadRoles("anna"));
            get(all.admin.setStreamMetadata(stream, set));
            all.judged("read with a list", anna, calls(stream).get("read"));
        }
    }

    @Test
    void aConsumerIsNamed() throws Exception {
        try (Guarded all = new Guarded()) {
            String stream = fresh("java");
            get(of(all.admin).createToStream(stream, "group"));
            get(of(all.ops).subscribeToStream(stream, "group", SubscribePersistentSubscriptionOptions.get().bufferSize(7), new PersistentTest.Consumer()));
            var connections = get(of(all.admin).getInfoToStream(stream, "group")).orElseThrow().getConnections();
            assertEquals(List.of(1, "ops", 7L), List.of(connections.size(), connections.get(0).getUsername(), connections.get(0).getAvailableSlots()));
        }
    }

    @Test
    void appendsToMany() throws Exception {
        try (Guarded all = new Guarded()) {
            String open = fresh("java"), closed = fresh("java");
            StreamMetadata set = new StreamMetadata();
            set.setAcl(Acls.newStreamAcl().addWriteRoles("admin"));
            get(all.admin.setStreamMetadata(closed, set));
            for (var each : Map.of(all.nobody, UNKNOWN, all.ops, DENIED, all.as("admin:wrong@"), UNKNOWN).entrySet()) {
                var requests = List.of(MultiTest.to(open, StreamState.any(), events("X")), MultiTest.to(closed, StreamState.any(), events("X")));
                assertEquals(each.getValue(), code(each.getKey().multiStreamAppend(requests.iterator())));
            }
            for (String stream : List.of(open, closed)) refused(StreamNotFoundException.class, all.admin.readStream(stream, ReadStreamOptions.get()));
            get(all.ops.multiStreamAppend(List.of(MultiTest.to(open, StreamState.noStream(), events("A"))).iterator()));
            get(all.admin.multiStreamAppend(List.of(MultiTest.to(open, StreamState.streamRevision(0), events("B")), MultiTest.to(closed, StreamState.noStream(), events("A"))).iterator()));
        }
    }

    @Test
    void anonymous() throws Exception {
        try (Guarded all = new Guarded("--allow-anonymous")) {
            String open = fresh("java"), closed = fresh("java");
            get(all.nobody.appendToStream(open, events("A")));
            get(all.nobody.readStream(open, ReadStreamOptions.get()));
            StreamMetadata set = new StreamMetadata();
            set.setAcl(Acls.newStreamAcl().addReadRoles("ops").addWriteRoles("ops"));
            get(all.admin.setStreamMetadata(closed, set));
            for (String what : List.of("append", "read")) assertEquals(UNKNOWN, told(calls(closed).get(what).apply(all.nobody)), what);
            assertEquals(UNKNOWN, told(all.nobody.readAll()));
            assertEquals(UNKNOWN, told(of(all.nobody).createToStream(open, "group")));
        }
    }

    @Test
    void acrossARestart() throws Exception {
        try (Guarded all = new Guarded()) {
            String stream = fresh("java");
            get(all.admin.appendToStream(stream, events("A")));
            StreamMetadata set = new StreamMetadata();
            set.setAcl(Acls.newStreamAcl().addReadRoles("anna"));
            get(all.admin.setStreamMetadata(stream, set));
            Seen seen = new Seen();
            get(all.nobody.subscribeToStream(stream, seen, SubscribeToStreamOptions.get().fromStart().authenticated("anna", "changeit")));
            assertEquals("A", seen.next());
            assertEquals(137, all.server.end("KILL"));
            assertNotNull(seen.end.get(20, TimeUnit.SECONDS));
            all.server.start();
            // The server makes a new certificate each time it starts, and writes its authority anew.
            KurrentDBClient later = all.as("");
            assertEquals(OK, told(later.readStream(stream, ReadStreamOptions.get().authenticated("anna", "changeit"))));
            assertEquals(DENIED, told(later.readStream(stream, ReadStreamOptions.get().authenticated("ops", "changeit"))));
            assertEquals(UNKNOWN, told(later.readStream(stream, ReadStreamOptions.get())));
        }
    }

    @Test
    void careless() throws Exception {
        try (Guarded all = new Guarded()) {
            String end = "localhost:" + all.server.port + "?maxDiscoverAttempts=1&";
            get(all.server.connect("kurrentdb://admin:changeit@" + end + "tlsVerifyCert=false").appendToStream(fresh("java"), events("A")));
            // Without the authority, and without TLS.
            refused(ConnectionShutdownException.class, all.server.connect("kurrentdb://" + end + "tls=true").appendToStream(fresh("java"), events("A")));
            refused(RuntimeException.class, all.server.connect("kurrentdb://" + end + "tls=false").appendToStream(fresh("java"), events("A")));
        }
    }
}
