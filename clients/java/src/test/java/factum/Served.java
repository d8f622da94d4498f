package factum;

import io.kurrent.dbclient.KurrentDBClient;
import org.junit.jupiter.api.*;

/** A server and a client of it for all tests of a class. Classes run one after the other. */
abstract class Served {
    static Server server;
    static KurrentDBClient client;

    @BeforeAll
    static void start() throws Exception {
        server = new Server();
        client = server.client();
    }

    @AfterAll
    static void stop() throws Exception {
        server.close();
    }
}
