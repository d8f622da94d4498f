package factum;

import static factum.Server.*;
import static org.junit.jupiter.api.Assertions.*;

import io.grpc.Status;
import io.kurrent.dbclient.*;
import java.util.*;
import java.util.concurrent.CompletableFuture;
import org.junit.jupiter.api.*;

/** Appends to many streams at once; this client has no records with checks. */
class MultiTest extends Served {
    static AppendStreamRequest to(String stream, StreamState state, EventData... events) {
        return new AppendStreamRequest(stream, List.of(events).iterator(), state);
    }

    static CompletableFuture<MultiStreamAppendResponse> append(AppendStreamRequest... requests) {
        return client.multiStreamAppend(List.of(requests).iterator());
    }

    static void missing(String stream) throws Exception {
        refused(StreamNotFoundException.class, client.readStream(stream, ReadStreamOptions.get()));
    }

    @Test
    void comesBack() throws Exception {
        String one = fresh("java"), two = fresh("java");
        EventData[] made = {events("A")[0], EventDataBuilder.binary("B", new byte[] {0, -1}).build()};
        MultiStreamAppendResponse done = get(append(to(one, StreamState.noStream(), made), to(two, StreamState.any(), events("C"))));
        var found = get(client.readStream(one, ReadStreamOptions.get())).getEvents();
        for (int at = 0; at < 2; at++) {
            RecordedEvent event = found.get(at).getEvent();
            assertEquals(made[at].getEventId(), event.getEventId());
            assertArrayEquals(made[at].getEventData(), event.getEventData());
            String metadata = new String(event.getUserMetadata()).replace(": ", ":");
            assertTrue(metadata.contains("\"$schema.name\":\"" + "AB".charAt(at) + "\"") && metadata.contains("\"$schema.format\":"), metadata);
        }
        assertTrue(new String(found.get(0).getEvent().getUserMetadata()).contains("\"m\""));
        assertEquals(List.of("application/json", "application/octet-stream"), found.stream().map(each -> each.getEvent().getContentType()).toList());
        RecordedEvent last = get(client.readStream(two, ReadStreamOptions.get())).getEvents().get(0).getEvent();
        assertEquals(last.getPosition().getCommitUnsigned(), done.getPosition());
        var exact = get(append(to(one, StreamState.streamRevision(1), events("D")), to(two, StreamState.streamExists(), events("E")))).getResults();
        assertEquals(List.of(2L, 1L), exact.stream().map(AppendResponse::getStreamRevision).toList());
    }

    @Test
    void retries() throws Exception {
        String one = fresh("java"), two = fresh("java");
        EventData[] a = events("A"), b = events("B");
        var first = get(append(to(one, StreamState.noStream(), a), to(two, StreamState.noStream(), b)));
        var again = get(append(to(one, StreamState.noStream(), a), to(two, StreamState.noStream(), b)));
        assertEquals(first.getPosition(), again.getPosition());
        assertEquals("0", numbers(get(client.readStream(one, ReadStreamOptions.get()))));
    }

    @Test
    void deletedStreams() throws Exception {
        String gone = fresh("java"), buried = fresh("java"), beside = fresh("java");
        for (String stream : List.of(gone, buried)) get(client.appendToStream(stream, events("A")));
        get(client.deleteStream(gone));
        get(client.tombstoneStream(buried));
        for (StreamState state : List.of(StreamState.any(), StreamState.noStream(), StreamState.streamExists(), StreamState.streamRevision(0))) {
            var tried = append(to(beside, StreamState.any(), events("X")), to(buried, state, events("X")));
            assertEquals(buried, refused(StreamTombstonedException.class, tried).getStreamName());
        }
        var tried = append(to(beside, StreamState.any(), events("X")), to(gone, StreamState.streamExists(), events("X")));
        assertEquals(gone, refused(StreamDeletedException.class, tried).getStreamName());
        missing(beside);
        assertEquals(1, get(append(to(gone, StreamState.noStream(), events("B")))).getResults().get(0).getStreamRevision());
        assertEquals("1", numbers(get(client.readStream(gone, ReadStreamOptions.get()))));
    }

    @Test
    void tooLarge() throws Exception {
        String stream = fresh("java"), beside = fresh("java");
        EventData large = StreamsTest.sized(5 << 20), third = StreamsTest.sized(3 << 20);
        var record = refused(RecordSizeExceededException.class, append(to(beside, StreamState.any(), events("X")), to(stream, StreamState.any(), large)));
        assertEquals(List.of(stream, large.getEventId().toString(), 4 << 20), List.of(record.getStream(), record.getRecordId(), record.getMaxSize()));
        assertTrue(record.getSize() > record.getMaxSize());
        var all = refused(TransactionMaxSizeExceededException.class, append(to(beside, StreamState.any(), third), to(stream, StreamState.any(), third, third)));
        assertEquals(8 << 20, all.getMaxSize());
        assertTrue(all.getSize() > all.getMaxSize());
        missing(stream);
        missing(beside);
    }

    @Test
    void none() throws Exception {
        assertEquals(Status.Code.FAILED_PRECONDITION, code(append()));
    }

    @Test
    void whatCannotBe() throws Exception {
        String beside = fresh("java");
        for (AppendStreamRequest wrong : List.of(
            to("", StreamState.any(), events("X")), to(fresh("java"), StreamState.any()), to(fresh("java"), StreamState.any(), events("")))) {
            assertEquals(Status.Code.INVALID_ARGUMENT, code(append(to(beside, StreamState.any(), events("X")), wrong)));
        }
        missing(beside);
        // One stream may come more than once.
        get(append(to(beside, StreamState.noStream(), events("A")), to(fresh("java"), StreamState.any(), events("X")), to(beside, StreamState.any(), events("B"))));
        assertEquals("0 1", numbers(get(client.readStream(beside, ReadStreamOptions.get()))));
    }

    @Test
    void withoutAnId() throws Exception {
        String stream = fresh("java");
        EventData nameless = EventDataBuilder.json(new UUID(0, 0), "X", "{}".getBytes()).build();
        assertEquals(Status.Code.INVALID_ARGUMENT, code(append(to(stream, StreamState.any(), nameless))));
        missing(stream);
    }
}
