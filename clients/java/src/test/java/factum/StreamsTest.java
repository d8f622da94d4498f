package factum;

import static factum.Server.*;
import static org.junit.jupiter.api.Assertions.*;

import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.kurrent.dbclient.*;
import java.util.*;
import java.util.concurrent.*;
import org.junit.jupiter.api.*;

class StreamsTest extends Served {
    static AppendToStreamOptions expecting(StreamState state) {
        return AppendToStreamOptions.get().streamState(state);
    }

    static long append(String stream, StreamState state, String... types) throws Exception {
        return get(client.appendToStream(stream, expecting(state), events(types))).getNextExpectedRevision().toRawLong();
    }

    static String read(String stream, ReadStreamOptions options) throws Exception {
        return numbers(get(client.readStream(stream, options)));
    }

    @Test
    void expectations() throws Exception {
        String stream = fresh("java");
        assertEquals(0, append(stream, StreamState.noStream(), "A"));
        assertEquals(1, append(stream, StreamState.streamRevision(0), "B"));
        assertEquals(2, append(stream, StreamState.any(), "C"));
        assertEquals(3, append(stream, StreamState.streamExists(), "D"));
        for (StreamState wrong : List.of(StreamState.noStream(), StreamState.streamRevision(1), StreamState.streamRevision(9))) {
            var error = refused(WrongExpectedVersionException.class, client.appendToStream(stream, expecting(wrong), events("X")));
            assertEquals(stream, error.getStreamName());
            // This client shows "no stream" as 0.
            if (!wrong.equals(StreamState.noStream())) assertEquals(wrong, error.getExpectedState());
            assertEquals(StreamState.streamRevision(3), error.getActualState());
        }
        var error = refused(WrongExpectedVersionException.class, client.appendToStream(fresh("java"), expecting(StreamState.streamExists()), events("X")));
        assertEquals(StreamState.noStream(), error.getActualState());
        assertEquals("0 1 2 3", read(stream, ReadStreamOptions.get()));
    }

    @Test
    void retries() throws Exception {
        for (StreamState state : List.of(StreamState.noStream(), StreamState.any())) {
            String stream = fresh("java");
            EventData[] same = events("A", "B");
            String first = get(client.appendToStream(stream, expecting(state), same)).toString();
            assertEquals(first, get(client.appendToStream(stream, expecting(state), same)).toString());
            assertEquals("0 1", read(stream, ReadStreamOptions.get()));
        }
    }

    @Test
    void reads() throws Exception {
        String stream = fresh("java");
        append(stream, StreamState.noStream(), "A", "B", "C", "D");
        assertEquals("0 1 2 3", read(stream, ReadStreamOptions.get().forwards().fromStart()));
        assertEquals("2 3", read(stream, ReadStreamOptions.get().forwards().fromRevision(2)));
        assertEquals("", read(stream, ReadStreamOptions.get().forwards().fromEnd()));
        assertEquals("3 2 1 0", read(stream, ReadStreamOptions.get().backwards().fromEnd()));
        assertEquals("1 0", read(stream, ReadStreamOptions.get().backwards().fromRevision(1)));
        assertEquals("0", read(stream, ReadStreamOptions.get().backwards().fromStart()));
        assertEquals("3 2", read(stream, ReadStreamOptions.get().backwards().fromEnd().maxCount(2)));
        refused(StreamNotFoundException.class, client.readStream(fresh("java"), ReadStreamOptions.get()));
        RecordedEvent first = get(client.readStream(stream, ReadStreamOptions.get())).getEvents().get(0).getEvent();
        assertEquals("A", first.getEventType());
        assertEquals("{\"a\":1}", new String(first.getEventData()));
        assertEquals("{\"m\":\"1\"}", new String(first.getUserMetadata()));
        assertTrue(Math.abs(first.getCreated().toEpochMilli() - System.currentTimeMillis()) < 60_000);
        List<ResolvedEvent> all = get(client.readAll(ReadAllOptions.get())).getEvents();
        List<ResolvedEvent> back = new ArrayList<>(get(client.readAll(ReadAllOptions.get().backwards().fromEnd())).getEvents());
        Collections.reverse(back);
        assertEquals(all.stream().map(each -> each.getEvent().getEventId()).toList(), back.stream().map(each -> each.getEvent().getEventId()).toList());
        var from = get(client.readAll(ReadAllOptions.get().fromPosition(first.getPosition()).maxCount(1))).getEvents();
        assertEquals(first.getEventId(), from.get(0).getEvent().getEventId());
    }

    @Test
    void pagesBackwards() throws Exception {
        for (int round = 0; round < 5; round++) append(fresh("java"), StreamState.noStream(), "A", "B", "C", "D", "E");
        List<ResolvedEvent> whole = get(client.readAll(ReadAllOptions.get().backwards().fromEnd())).getEvents();
        assertTrue(whole.size() >= 25);
        // A position backwards leaves its own event out.
        Position fourth = whole.get(3).getEvent().getPosition();
        assertEquals(ids(whole.subList(4, whole.size())), ids(get(client.readAll(ReadAllOptions.get().backwards().fromPosition(fourth))).getEvents()));
        for (int size : List.of(1, 4, 10)) {
            List<ResolvedEvent> pages = new ArrayList<>();
            ReadAllOptions from = ReadAllOptions.get().backwards().fromEnd();
            for (;;) {
                List<ResolvedEvent> page = get(client.readAll(from.maxCount(size))).getEvents();
                pages.addAll(page);
                if (page.size() < size) break;
                from = ReadAllOptions.get().backwards().fromPosition(page.get(size - 1).getEvent().getPosition());
            }
            assertEquals(ids(whole), ids(pages), "pages of " + size);
        }
    }

    static List<UUID> ids(List<ResolvedEvent> found) {
        return found.stream().map(each -> each.getEvent().getEventId()).toList();
    }

    @Test
    void withoutAType() throws Exception {
        String stream = fresh("java");
        // This client has no class for it.
        var error = refused(RuntimeException.class, client.appendToStream(stream, events("")));
        assertTrue(String.valueOf(error.getMessage()).contains("Required Metadata Property 'type' is missing"), error.toString());
        refused(StreamNotFoundException.class, client.readStream(stream, ReadStreamOptions.get()));
    }

    @Test
    void conflictsOfMany() throws Exception {
        String there = fresh("java"), missing = fresh("java"), beside = fresh("java");
        append(there, StreamState.noStream(), "A", "B");
        record Case(String stream, StreamState expected, StreamState actual) {}
        StreamState one = StreamState.streamRevision(1), none = StreamState.noStream();
        for (Case each : List.of(
            new Case(there, none, one),
            new Case(there, StreamState.streamRevision(0), one),
            new Case(there, StreamState.streamRevision(7), one),
            new Case(missing, StreamState.streamExists(), none),
            new Case(missing, StreamState.streamRevision(0), none))) {
            var requests = List.of(
                new AppendStreamRequest(beside, List.of(events("X")).iterator(), StreamState.any()),
                new AppendStreamRequest(each.stream, List.of(events("X")).iterator(), each.expected));
            var error = refused(WrongExpectedVersionException.class, client.multiStreamAppend(requests.iterator()));
            assertEquals(each, new Case(error.getStreamName(), error.getExpectedState(), error.getActualState()));
        }
        refused(StreamNotFoundException.class, client.readStream(beside, ReadStreamOptions.get()));
        EventData large = EventDataBuilder.json("L", ("\"" + "x".repeat(3 << 20) + "\"").getBytes()).build();
        var much = List.of(new AppendStreamRequest(beside, List.of(large, large, large).iterator(), StreamState.any()));
        var error = refused(TransactionMaxSizeExceededException.class, client.multiStreamAppend(much.iterator()));
        assertTrue(error.getSize() > error.getMaxSize());
    }

    @Test
    void deletion() throws Exception {
        String stream = fresh("java");
        refused(WrongExpectedVersionException.class, client.deleteStream(stream));
        append(stream, StreamState.noStream(), "A", "B");
        refused(WrongExpectedVersionException.class, client.deleteStream(stream, DeleteStreamOptions.get().streamRevision(7)));
        get(client.deleteStream(stream, DeleteStreamOptions.get().streamRevision(1)));
        refused(StreamNotFoundException.class, client.readStream(stream, ReadStreamOptions.get()));
        deleted(stream, client.appendToStream(stream, expecting(StreamState.streamExists()), events("X")));
        assertEquals(2, append(stream, StreamState.noStream(), "C"));
        assertEquals("2", read(stream, ReadStreamOptions.get()));
        get(client.tombstoneStream(stream));
        deleted(stream, client.readStream(stream, ReadStreamOptions.get()));
        for (StreamState state : List.of(StreamState.any(), StreamState.noStream(), StreamState.streamExists(), StreamState.streamRevision(2))) {
            deleted(stream, client.appendToStream(stream, expecting(state), events("X")));
        }
    }

    @Test
    void metadata() throws Exception {
        String stream = fresh("java");
        append(stream, StreamState.noStream(), "A", "B", "C");
        StreamMetadata set = new StreamMetadata();
        set.setMaxCount(2L);
        set.setMaxAge(3600L);
        set.setCacheControl(60L);
        set.setAcl(Acls.newStreamAcl().addReadRoles("$all").addWriteRoles("a", "b"));
        set.setCustomProperties(new HashMap<>(Map.of("mine", "x")));
        get(client.setStreamMetadata(stream, set));
        StreamMetadata got = get(client.getStreamMetadata(stream));
        assertEquals(2L, got.getMaxCount());
        assertEquals(3600L, got.getMaxAge());
        assertEquals("x", got.getCustomProperties().get("mine"));
        assertEquals(List.of("a", "b"), ((StreamAcl) got.getAcl()).getWriteRoles());
        assertEquals("1 2", read(stream, ReadStreamOptions.get()));
    }

    @Test
    void many() throws Exception {
        String one = fresh("java"), two = fresh("java"), three = fresh("java");
        var requests = List.of(
            new AppendStreamRequest(one, List.of(events("A", "B")).iterator(), StreamState.noStream()),
            new AppendStreamRequest(two, List.of(events("C")).iterator(), StreamState.any()));
        var results = get(client.multiStreamAppend(requests.iterator())).getResults();
        assertEquals(List.of(one, two), results.stream().map(AppendResponse::getStream).toList());
        assertEquals(List.of(1L, 0L), results.stream().map(AppendResponse::getStreamRevision).toList());
        requests = List.of(
            new AppendStreamRequest(three, List.of(events("A")).iterator(), StreamState.noStream()),
            new AppendStreamRequest(two, List.of(events("C")).iterator(), StreamState.streamRevision(8)));
        refused(WrongExpectedVersionException.class, client.multiStreamAppend(requests.iterator()));
        refused(StreamNotFoundException.class, client.readStream(three, ReadStreamOptions.get()));
        get(client.tombstoneStream(one));
        requests = List.of(new AppendStreamRequest(one, List.of(events("A")).iterator(), StreamState.any()));
        refused(StreamTombstonedException.class, client.multiStreamAppend(requests.iterator()));
        EventData large = EventDataBuilder.json("L", ("\"" + "x".repeat(5 << 20) + "\"").getBytes()).build();
        requests = List.of(new AppendStreamRequest(two, List.of(large).iterator(), StreamState.any()));
        refused(RecordSizeExceededException.class, client.multiStreamAppend(requests.iterator()));
    }

    @Test
    void links() throws Exception {
        String category = "javalinks" + UUID.randomUUID().toString().substring(0, 8);
        String one = fresh(category), two = fresh(category);
        append(one, StreamState.noStream(), "A");
        append(two, StreamState.noStream(), "B");
        var found = get(client.readStream("$ce-" + category, ReadStreamOptions.get().resolveLinkTos())).getEvents();
        assertEquals(List.of(one, two), found.stream().map(each -> each.getEvent().getStreamId()).toList());
        assertEquals("$ce-" + category, found.get(1).getLink().getStreamId());
        assertEquals(1, found.get(1).getLink().getRevision());
    }

    @Test
    void names() throws Exception {
        var groups = KurrentDBPersistentSubscriptionsClient.from(client);
        for (String stream : List.of(fresh("with blanks"), fresh("größe-高"), fresh("a/b?c%20d#e"), "a@" + fresh("java"), fresh("quote\"'\\"), "ü".repeat(60) + fresh("java"))) {
            append(stream, StreamState.noStream(), "A");
            assertEquals(stream, get(client.readStream(stream, ReadStreamOptions.get())).getEvents().get(0).getEvent().getStreamId());
            Seen seen = new Seen();
            Subscription subscription = get(client.subscribeToStream(stream, seen, SubscribeToStreamOptions.get().fromStart()));
            assertEquals("A", seen.next());
            subscription.stop();
            get(groups.createToStream(stream, stream));
            PersistentSubscriptionInfo info = get(groups.getInfoToStream(stream, stream)).orElseThrow();
            assertEquals(stream + stream, info.getEventSource() + info.getGroupName());
            StreamMetadata set = new StreamMetadata();
            set.setMaxCount(7L);
            get(client.setStreamMetadata(stream, set));
            assertEquals(7L, get(client.getStreamMetadata(stream)).getMaxCount());
            assertEquals(stream, refused(WrongExpectedVersionException.class, client.appendToStream(stream, expecting(StreamState.noStream()), events("X"))).getStreamName());
            get(client.tombstoneStream(stream));
            refused(StreamDeletedException.class, client.appendToStream(stream, events("X")));
        }
        assertEquals(Status.Code.INVALID_ARGUMENT, code(client.appendToStream("", events("X"))));
        append(fresh("java"), StreamState.noStream(), "A");
    }

    @Test
    void retriesLater() throws Exception {
        String stream = fresh("java");
        EventData[] same = events("A", "B", "C");
        WriteResult first = get(client.appendToStream(stream, expecting(StreamState.noStream()), same));
        append(stream, StreamState.streamRevision(2), "D");
        assertEquals(first.toString(), get(client.appendToStream(stream, expecting(StreamState.noStream()), same)).toString());
        // A part of them is there already; with others behind, before or beside them it is a conflict.
        assertEquals(1, get(client.appendToStream(stream, expecting(StreamState.noStream()), same[0], same[1])).getNextExpectedRevision().toRawLong());
        assertEquals(2, get(client.appendToStream(stream, expecting(StreamState.streamRevision(0)), same[1], same[2])).getNextExpectedRevision().toRawLong());
        EventData other = events("X")[0];
        for (EventData[] wrong : new EventData[][] {{same[0], same[1], same[2], other}, {other, same[0]}, {same[1]}, {same[0], other}}) {
            refused(WrongExpectedVersionException.class, client.appendToStream(stream, expecting(StreamState.noStream()), wrong));
        }
        get(client.appendToStream(fresh("java"), expecting(StreamState.noStream()), same));
        assertEquals("0 1 2 3", read(stream, ReadStreamOptions.get()));
    }

    @Test
    void nothingAppended() throws Exception {
        String there = fresh("java"), missing = fresh("java");
        append(there, StreamState.noStream(), "A");
        assertEquals(0, append(there, StreamState.streamRevision(0)));
        assertEquals(-1, append(missing, StreamState.noStream()));
        refused(WrongExpectedVersionException.class, client.appendToStream(there, expecting(StreamState.noStream())));
        refused(WrongExpectedVersionException.class, client.appendToStream(missing, expecting(StreamState.streamRevision(0))));
        refused(StreamNotFoundException.class, client.readStream(missing, ReadStreamOptions.get()));
    }

    static EventData sized(int size) {
        return EventDataBuilder.binary("L", new byte[size]).build();
    }

    @Test
    void large() throws Exception {
        String stream = fresh("java");
        get(client.appendToStream(stream, sized(7 << 19), sized(7 << 19), sized(0)));
        var found = get(client.readStream(stream, ReadStreamOptions.get())).getEvents();
        assertEquals(List.of(7 << 19, 0), List.of(found.get(1).getEvent().getEventData().length, found.get(2).getEvent().getEventData().length));
        assertEquals("application/octet-stream", found.get(2).getEvent().getContentType());
        // This client has no class for it.
        var cases = Map.of("exceeds Maximum Append Event Size of", List.of(sized(9 << 19)), "Maximum Append Size of", List.of(sized(7 << 19), sized(7 << 19), sized(7 << 19)));
        for (var each : cases.entrySet()) {
            var error = refused(StatusRuntimeException.class, client.appendToStream(stream, each.getValue().iterator()));
            assertEquals(Status.Code.INVALID_ARGUMENT, error.getStatus().getCode());
            assertTrue(error.getMessage().contains(each.getKey()), error.getMessage());
        }
        assertEquals(3, append(stream, StreamState.streamRevision(2), "A"));
    }

    @Test
    void atOnce() throws Exception {
        String one = fresh("java"), many = fresh("java");
        List<CompletableFuture<WriteResult>> tried = new ArrayList<>(), done = new ArrayList<>();
        for (int at = 0; at < 20; at++) {
            tried.add(client.appendToStream(one, expecting(StreamState.noStream()), events("A")));
            done.add(client.appendToStream(many, events("A", "B")));
        }
        int won = 0;
        for (var each : tried) {
            try {
                get(each);
                won++;
            } catch (ExecutionException error) {
                assertInstanceOf(WrongExpectedVersionException.class, error.getCause());
            }
        }
        assertEquals(1, won);
        for (var each : done) get(each);
        var types = get(client.readStream(many, ReadStreamOptions.get())).getEvents().stream().map(each -> each.getEvent().getEventType()).toList();
        assertEquals("AB".repeat(20), String.join("", types));
    }

    @Test
    void readsLimited() throws Exception {
        String stream = fresh("java");
        append(stream, StreamState.noStream(), "A".repeat(70).split(""));
        assertEquals("1 2", read(stream, ReadStreamOptions.get().fromRevision(1).maxCount(2)));
        assertEquals("2 1", read(stream, ReadStreamOptions.get().backwards().fromRevision(2).maxCount(2)));
        assertEquals("68 69", read(stream, ReadStreamOptions.get().fromRevision(68).maxCount(9)));
        assertEquals("", read(stream, ReadStreamOptions.get().fromRevision(99)));
        assertEquals("69", read(stream, ReadStreamOptions.get().backwards().fromRevision(99).maxCount(1)));
        assertEquals(70, get(client.readStream(stream, ReadStreamOptions.get())).getEvents().size());
        String missing = fresh("java");
        assertEquals(missing, refused(StreamNotFoundException.class, client.readStream(missing, ReadStreamOptions.get().backwards().fromEnd())).getStreamName());
        assertEquals(0, get(client.readAll(ReadAllOptions.get().fromEnd())).getEvents().size());
        assertEquals(0, get(client.readAll(ReadAllOptions.get().backwards().fromStart())).getEvents().size());
    }

    @Test
    void deletionAgain() throws Exception {
        String stream = fresh("java");
        assertEquals(StreamState.noStream(), refused(WrongExpectedVersionException.class, client.deleteStream(stream)).getActualState());
        append(stream, StreamState.noStream(), "A", "B");
        DeleteStreamOptions wrong = DeleteStreamOptions.get().streamRevision(7);
        for (var tried : List.of(client.deleteStream(stream, wrong), client.tombstoneStream(stream, wrong))) {
            var error = refused(WrongExpectedVersionException.class, tried);
            assertEquals(List.of(stream, StreamState.streamRevision(7), StreamState.streamRevision(1)), List.of(error.getStreamName(), error.getExpectedState(), error.getActualState()));
        }
        refused(WrongExpectedVersionException.class, client.tombstoneStream(stream, DeleteStreamOptions.get().streamState(StreamState.noStream())));
        get(client.deleteStream(stream, DeleteStreamOptions.get().streamState(StreamState.streamExists())));
        get(client.deleteStream(stream));
        // The revision that was the last is still right, and numbers go on.
        assertEquals(2, append(stream, StreamState.streamRevision(1), "C"));
        get(client.deleteStream(stream, DeleteStreamOptions.get().streamRevision(2)));
        get(client.tombstoneStream(stream));
        deleted(stream, client.tombstoneStream(stream));
        deleted(stream, client.deleteStream(stream));
        deleted(stream, client.readStream(stream, ReadStreamOptions.get().backwards().fromEnd()));
        RecordedEvent last = get(client.readAll(ReadAllOptions.get().backwards().fromEnd().maxCount(1))).getEvents().get(0).getEvent();
        assertEquals("$streamDeleted" + stream, last.getEventType() + last.getStreamId());
        for (StreamState state : List.of(StreamState.any(), StreamState.noStream())) {
            String never = fresh("java");
            get(client.tombstoneStream(never, DeleteStreamOptions.get().streamState(state)));
            deleted(never, client.appendToStream(never, events("X")));
        }
    }
}
