package factum;

import static factum.Server.*;
import static org.junit.jupiter.api.Assertions.*;

import io.grpc.Status;
import io.kurrent.dbclient.*;
import java.nio.file.Path;
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
}
