import java.io.OutputStream;
import java.net.HttpURLConnection;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;

/** Both of the JDK's clients: one with a body of known length, one that sends pieces. Prints status and body of each. */
class Ask {
    public static void main(String[] words) throws Exception {
        URI place = URI.create(words[0]);
        HttpRequest.Builder request = HttpRequest.newBuilder(place)
            .header("Content-Type", "application/json")
            .expectContinue(words.length > 2)
            .POST(HttpRequest.BodyPublishers.ofString(words[1]));
        HttpResponse<String> answer = HttpClient.newHttpClient().send(request.build(), HttpResponse.BodyHandlers.ofString());
        System.out.println(answer.statusCode() + " " + answer.body().strip());
        HttpURLConnection old = (HttpURLConnection) place.toURL().openConnection();
        old.setRequestMethod("POST");
        old.setDoOutput(true);
        old.setChunkedStreamingMode(7);
        old.setRequestProperty("Content-Type", "application/json");
        try (OutputStream body = old.getOutputStream()) {
            body.write(words[1].getBytes("UTF-8"));
        }
        System.out.println(old.getResponseCode() + " " + new String(old.getInputStream().readAllBytes(), "UTF-8").strip());
    }
}
