package factum;

import static factum.Server.*;
import static org.junit.jupiter.api.Assertions.*;

import io.kurrent.dbclient.*;
import java.util.List;
import org.junit.jupiter.api.*;

class PortTest {
    @Test
    void version() throws Exception {
        try (Server server = new Server()) {
            ServerVersion version = get(server.client().getServerVersion()).orElseThrow();
            assertTrue(version.getMajor() > 26 || version.getMajor() == 26 && version.getMinor() >= 1, version.toString());
        }
    }

    /** Among several, of which the other is not there, and where it is only told of. */
    @Test
    void foundByGossip() throws Exception {
        try (Server server = new Server()) {
            String own = "127.0.0.1:" + server.port;
            // This client takes no port above 32,767 for the second.
            for (String hosts : List.of("kurrentdb://" + own + ",127.0.0.1:1", "kurrentdb+discover://" + own)) {
                get(server.connect(hosts + "?tls=false").appendToStream(fresh("java"), events("A")));
            }
        }
    }
}
