package factum;

import static factum.Server.*;
import static org.junit.jupiter.api.Assertions.*;

import io.grpc.Status;
import io.kurrent.dbclient.*;
import java.util.*;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.*;

class LinksTest extends Served {
    static EventData link(long number, String stream) {
        return EventDataBuilder.binary("$>", (number + "@" + stream).getBytes()).build();
    }

    static List<ResolvedEvent> resolved(String stream) throws Exception {
        return get(client.readStream(stream, ReadStreamOptions.get().resolveLinkTos())).getEvents();
    }

    @Test
    void ofOnesOwn() throws Exception {
        String stream = fresh("java"), index = fresh("index");
        get(client.appendToStream(stream, events("A", "B")));
        get(client.appendToStream(index, link(1, stream)));
        ResolvedEvent found = resolved(index).get(0);
        assertEquals(List.of("B", 1L, stream), List.of(found.getEvent().getEventType(), found.getEvent().getRevision(), found.getEvent().getStreamId()));
        assertEquals(List.of("$>", 0L, index), List.of(found.getLink().getEventType(), found.getLink().getRevision(), found.getLink().getStreamId()));
        found = get(client.readStream(index, ReadStreamOptions.get().resolveLinkTos(false))).getEvents().get(0);
        assertEquals("$>", found.getEvent().getEventType());
        assertNull(found.getLink());
        Seen seen = new Seen();
        Subscription subscription = get(client.subscribeToStream(index, seen, SubscribeToStreamOptions.get().fromStart().resolveLinkTos()));
        assertEquals("B", seen.next());
        subscription.stop();
        var whole = get(client.readAll(ReadAllOptions.get().resolveLinkTos())).getEvents();
        assertEquals(3, whole.stream().filter(each -> each.getEvent() != null && each.getEvent().getStreamId().equals(stream)).count());
    }

    @Test
    void toWhatIsGone() throws Exception {
        String deleted = fresh("java"), buried = fresh("java"), hidden = fresh("java"), index = fresh("index");
        for (String stream : List.of(deleted, buried, hidden)) get(client.appendToStream(stream, events("A", "B")));
        get(client.deleteStream(deleted));
        get(client.tombstoneStream(buried));
        StreamMetadata set = new StreamMetadata();
        set.setTruncateBefore(1L);
        get(client.setStreamMetadata(hidden, set));
        get(client.appendToStream(index, link(0, deleted), link(0, buried), link(0, hidden), link(7, hidden), link(0, fresh("java")), link(1, hidden)));
        List<ResolvedEvent> found = resolved(index);
        assertEquals(List.of(0L, 1L, 2L, 3L, 4L, 5L), found.stream().map(each -> each.getLink().getRevision()).toList());
        assertEquals(List.of(true, true, true, true, true, false), found.stream().map(each -> each.getEvent() == null).toList());
    }

    @Test
    void ofACategoryToWhatIsGone() throws Exception {
        String category = "java" + UUID.randomUUID().toString().substring(0, 8);
        for (String stream : List.of("-deleted", "-buried", "-hidden")) get(client.appendToStream(category + stream, events("A")));
        get(client.appendToStream(category + "-hidden", events("B")));
        get(client.deleteStream(category + "-deleted"));
        get(client.tombstoneStream(category + "-buried"));
        StreamMetadata set = new StreamMetadata();
        set.setTruncateBefore(1L);
        get(client.setStreamMetadata(category + "-hidden", set));
        List<ResolvedEvent> found = resolved("$ce-" + category);
        assertEquals(List.of(0L, 1L, 2L, 3L), found.stream().map(each -> each.getLink().getRevision()).toList());
        assertEquals(List.of(true, true, true, false), found.stream().map(each -> each.getEvent() == null).toList());
    }

    @Test
    void ofATypeAndACorrelation() throws Exception {
        String one = fresh("java"), two = fresh("java"), of = UUID.randomUUID().toString(), type = fresh("Type");
        EventData[] both = new EventData[2];
        for (int at = 0; at < 2; at++) {
            both[at] = EventDataBuilder.json(type, "{}".getBytes()).metadataAsBytes(("{\"$correlationId\":\"" + of + "\"}").getBytes()).build();
        }
        get(client.appendToStream(one, both[0], events("Other")[0]));
        get(client.appendToStream(two, both[1]));
        for (String index : List.of("$et-" + type, "$bc-" + of)) {
            List<ResolvedEvent> found = resolved(index);
            assertEquals(List.of(one, two), found.stream().map(each -> each.getEvent().getStreamId()).toList());
            assertEquals(List.of(0L, 1L), found.stream().map(each -> each.getLink().getRevision()).toList());
            Seen seen = new Seen();
            Subscription subscription = get(client.subscribeToStream(index, seen, SubscribeToStreamOptions.get().fromRevision(0).resolveLinkTos()));
            ResolvedEvent next = seen.events.poll(20, TimeUnit.SECONDS);
            assertNotNull(next, "no event within 20 s");
            assertEquals(two, next.getEvent().getStreamId());
            subscription.stop();
            var last = get(client.readStream(index, ReadStreamOptions.get().backwards().fromEnd().maxCount(1).resolveLinkTos(false))).getEvents();
            assertEquals("0@" + two, new String(last.get(0).getEvent().getEventData()));
        }
        for (String index : List.of("$et-none", "$bc-none", "$ce-none")) refused(StreamNotFoundException.class, client.readStream(index, ReadStreamOptions.get()));
    }

    @Test
    void ofAllStreams() throws Exception {
        String one = fresh("java"), two = fresh("java");
        get(client.appendToStream(one, events("A", "B")));
        get(client.appendToStream(two, events("C")));
        var own = resolved("$streams").stream().filter(each -> each.getEvent() != null && List.of(one, two).contains(each.getEvent().getStreamId()));
        assertEquals(List.of("A", "C"), own.map(each -> each.getEvent().getEventType()).toList());
        // The streams of a category, each by its first event.
        own = resolved("$category-java").stream().filter(each -> each.getEvent() != null && List.of(one, two).contains(each.getEvent().getStreamId()));
        assertEquals(List.of("A", "C"), own.map(each -> each.getEvent().getEventType()).toList());
    }

    @Test
    void ofAppendsToMany() throws Exception {
        String category = "java" + UUID.randomUUID().toString().substring(0, 8), of = UUID.randomUUID().toString();
        EventData made = EventDataBuilder.json(category, "{}".getBytes()).metadataAsBytes(("{\"$correlationId\":\"" + of + "\"}").getBytes()).build();
        get(client.multiStreamAppend(List.of(MultiTest.to(category + "-1", StreamState.noStream(), made)).iterator()));
        for (String index : List.of("$bc-" + of, "$ce-" + category, "$et-" + category)) {
            assertEquals(made.getEventId(), resolved(index).get(0).getEvent().getEventId(), index);
        }
    }

    @Test
    void cannotBeWrittenTo() throws Exception {
        String category = "java" + UUID.randomUUID().toString().substring(0, 8);
        get(client.appendToStream(category + "-1", events("A")));
        assertEquals(Status.Code.INVALID_ARGUMENT, code(client.appendToStream("$ce-" + category, events("X"))));
        assertEquals(1, resolved("$ce-" + category).size());
    }

    @Test
    void acrossARestart() throws Exception {
        try (Server own = new Server()) {
            KurrentDBClient client = own.client();
            get(client.appendToStream("javalinks-1", events("A", "B")));
            Seen seen = new Seen();
            get(client.subscribeToStream("$ce-javalinks", seen, SubscribeToStreamOptions.get().fromStart().resolveLinkTos()));
            assertEquals("A B", seen.next() + " " + seen.next());
            own.end("KILL");
            assertNotNull(seen.end.get(20, TimeUnit.SECONDS));
            own.start();
            KurrentDBClient later = own.client();
            get(later.appendToStream("javalinks-2", events("C")));
            Seen rest = new Seen();
            get(later.subscribeToStream("$ce-javalinks", rest, SubscribeToStreamOptions.get().fromRevision(1).resolveLinkTos()));
            assertEquals("C", rest.next());
        }
    }
}
