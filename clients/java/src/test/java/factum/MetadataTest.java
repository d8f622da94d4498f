package factum;

import static factum.Server.*;
import static org.junit.jupiter.api.Assertions.*;

import io.kurrent.dbclient.*;
import java.util.*;
import java.util.function.Consumer;
import org.junit.jupiter.api.*;

class MetadataTest extends Served {
    static String filled() throws Exception {
        String stream = fresh("java");
        get(client.appendToStream(stream, events("A", "B", "C", "D", "E")));
        return stream;
    }

    static void set(String stream, Consumer<StreamMetadata> change) throws Exception {
        StreamMetadata metadata = new StreamMetadata();
        change.accept(metadata);
        get(client.setStreamMetadata(stream, metadata));
    }

    static String read(String stream, ReadStreamOptions options) throws Exception {
        return numbers(get(client.readStream(stream, options)));
    }

    static void shown(String stream, String forwards, String backwards) throws Exception {
        assertEquals(forwards, read(stream, ReadStreamOptions.get()));
        assertEquals(forwards, read(stream, ReadStreamOptions.get().fromRevision(1)));
        assertEquals(backwards, read(stream, ReadStreamOptions.get().backwards().fromEnd()));
    }

    @Test
    void expectations() throws Exception {
        String stream = filled();
        assertEquals(new StreamMetadata(), get(client.getStreamMetadata(stream)));
        StreamMetadata one = new StreamMetadata();
        one.setMaxCount(100L);
        get(client.setStreamMetadata(stream, AppendToStreamOptions.get().streamState(StreamState.noStream()), one));
        get(client.setStreamMetadata(stream, AppendToStreamOptions.get().streamRevision(0), one));
        var error = refused(WrongExpectedVersionException.class, client.setStreamMetadata(stream, AppendToStreamOptions.get().streamRevision(0), one));
        assertEquals("$$" + stream, error.getStreamName());
        assertEquals(StreamState.streamRevision(1), error.getActualState());
    }

    @Test
    void hidesByCount() throws Exception {
        String stream = filled();
        set(stream, metadata -> metadata.setMaxCount(2L));
        shown(stream, "3 4", "4 3");
        get(client.appendToStream(stream, AppendToStreamOptions.get().streamRevision(4), events("F")));
        shown(stream, "4 5", "5 4");
        // What is hidden is still there, and in $all.
        assertEquals(6, get(client.readAll()).getEvents().stream().filter(each -> each.getEvent().getStreamId().equals(stream)).count());
        set(stream, metadata -> metadata.setMaxCount(4L));
        shown(stream, "2 3 4 5", "5 4 3 2");
    }

    @Test
    void hidesBefore() throws Exception {
        String stream = filled();
        set(stream, metadata -> metadata.setTruncateBefore(3L));
        shown(stream, "3 4", "4 3");
        assertEquals(3, get(client.getStreamMetadata(stream)).getTruncateBefore());
        get(client.appendToStream(stream, AppendToStreamOptions.get().streamRevision(4), events("F")));
        // A subscription from the start begins with what is shown.
        Seen seen = new Seen();
        Subscription subscription = get(client.subscribeToStream(stream, seen, SubscribeToStreamOptions.get().fromStart()));
        assertEquals("D E F", seen.next() + " " + seen.next() + " " + seen.next());
        subscription.stop();
    }

    @Test
    void hidesByAge() throws Exception {
        String stream = filled();
        set(stream, metadata -> metadata.setMaxAge(1L));
        Thread.sleep(1500);
        assertEquals("", read(stream, ReadStreamOptions.get()));
        set(stream, metadata -> metadata.setMaxAge(3600L));
        assertEquals("0 1 2 3 4", read(stream, ReadStreamOptions.get()));
    }

    @Test
    void isAStream() throws Exception {
        String stream = filled();
        set(stream, metadata -> metadata.setMaxCount(9L));
        RecordedEvent found = get(client.readStream("$$" + stream, ReadStreamOptions.get())).getEvents().get(0).getEvent();
        assertEquals(List.of(0L, "$metadata"), List.of(found.getRevision(), found.getEventType()));
        assertTrue(new String(found.getEventData()).contains("\"$maxCount\":9"));
        assertEquals("$$" + stream, get(client.readAll(ReadAllOptions.get().backwards().fromEnd().maxCount(1))).getEvents().get(0).getEvent().getStreamId());
    }

    @Test
    void ofADeletion() throws Exception {
        String stream = filled();
        set(stream, metadata -> {
            metadata.setMaxCount(100L);
            metadata.setCustomProperties(new HashMap<>(Map.of("mine", "kept")));
        });
        get(client.deleteStream(stream));
        // This client reads the first metadata unless it is told.
        ReadStreamOptions last = ReadStreamOptions.get().backwards().fromEnd();
        assertEquals(Long.MAX_VALUE, get(client.getStreamMetadata(stream, last)).getTruncateBefore());
        assertEquals(5, get(client.appendToStream(stream, events("F"))).getNextExpectedRevision().toRawLong());
        StreamMetadata got = get(client.getStreamMetadata(stream, last));
        assertEquals(List.of(5L, 100L, "kept"), List.of(got.getTruncateBefore(), got.getMaxCount(), got.getCustomProperties().get("mine")));
        get(client.tombstoneStream(stream));
        refused(StreamDeletedException.class, client.setStreamMetadata(stream, new StreamMetadata()));
    }

    @Test
    void makesAStreamExist() throws Exception {
        String stream = fresh("java");
        set(stream, metadata -> metadata.setMaxCount(9L));
        refused(StreamNotFoundException.class, client.readStream(stream, ReadStreamOptions.get()));
        get(client.appendToStream(stream, AppendToStreamOptions.get().streamState(StreamState.streamExists()), events("A")));
        assertEquals("0", read(stream, ReadStreamOptions.get()));
    }
}
